"""Chest radiographs, made clearer: what the pipeline and the instrument are made of."""
