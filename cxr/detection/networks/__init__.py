"""Networks that detectors are built on."""
