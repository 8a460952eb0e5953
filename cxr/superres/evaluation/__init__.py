"""The test images: restored, kept, measured, and which of them to show."""
