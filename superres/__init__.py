"""What the stages are made of: data, degradation, networks, training, measurement and figures."""
