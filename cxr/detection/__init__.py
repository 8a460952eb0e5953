"""Findings on radiographs: a classifier, and how good it is on what each method shows it."""
