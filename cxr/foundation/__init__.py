"""What everything stands on, and which knows nothing of images: parameters, errors, files, processes, provenance."""
