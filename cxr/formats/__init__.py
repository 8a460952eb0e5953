"""Radiograph files in, arrays out, and back."""
