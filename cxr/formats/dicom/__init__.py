"""DICOM radiographs in, and images derived from them out."""
