"""Chest radiographs of small children, drawn from first principles."""
