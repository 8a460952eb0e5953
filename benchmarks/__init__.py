"""Measurements run by hand: speed, and the tables of the papers."""
