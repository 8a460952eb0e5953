"""Where this code lies."""

from pathlib import Path

PACKAGE = Path(__file__).parents[1]
"""The folder of the package."""
ROOT = PACKAGE.parent
"""The folder that the package is imported from: the root of a clone, or where an installation puts packages."""
