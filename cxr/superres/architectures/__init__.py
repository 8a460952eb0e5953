"""What of each network's architecture can be set: one file a network, without torch."""
