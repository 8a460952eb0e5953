"""What a network may be told of how a radiograph arrived. No torch."""

from collections.abc import Mapping
from typing import Any, NamedTuple

WHITE = 255
"""Grey levels between black and white, by which noise is counted."""


class Told(NamedTuple):
    """How a radiograph arrived."""

    noise: float = 0.0
    """Standard deviation at the middle of the range, in grey levels of 255."""
    depends_on_signal: bool = False
    """Whether noise is stronger where more light came."""
    jpeg: int = 0
    """Quality of the JPEG file that it has been in, 1 to 100; 0 for none."""


def within(told: Told, ranges: Mapping[str, Any] | None) -> Told:
    """Return `told`, but no more noise and no lower a quality than a network has learnt of, whose file tells these `ranges`."""
    if not ranges:
        return told
    noise = max(ranges["noise"], WHITE * (0.5 / ranges["quanta"][0]) ** 0.5)
    return told._replace(noise=min(told.noise, noise), jpeg=max(told.jpeg, ranges["jpeg"][0]) if told.jpeg else 0)
