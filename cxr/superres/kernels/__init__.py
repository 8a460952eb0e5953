"""Faster forms of the networks, and which form runs where."""
