"""How good: image quality, discrimination, and the intervals of both."""
