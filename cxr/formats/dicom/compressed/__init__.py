"""Compressed pixels of DICOM files: how large they say they are, what they have lost, and decoding within limits."""
