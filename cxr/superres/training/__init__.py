"""Crops, the training loop and validation."""
