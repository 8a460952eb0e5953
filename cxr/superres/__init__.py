"""Super-resolution: degradation, networks, training, evaluation."""
