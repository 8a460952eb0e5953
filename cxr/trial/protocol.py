"""What the trial is: section `trial` of trial/params.yaml, written before it runs."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

from cxr.foundation.params import SEED, Must, at_least, between
from cxr.sources.phantom.detector import spread

NODULE = "nodule"
"""The finding that needs no pixels below 0.8 mm: Lams and Cocklin, Radiology 158(1), 1986."""
FINDINGS = (NODULE, "miliary texture", "septal lines", "pneumothorax edge", "catheter tip")
REACH = 5.2
"""How far findings reach from the middle of a region, mm."""
EDGE = 6
"""Pixels around a region, which the detector's blur sees."""
EVEN = Must("even", lambda value: value % 2 == 0)
THREE = Must("three above 0, in order", lambda values: len(values) == 3 and 0 < values[0] < values[1] < values[2])


class Setting(NamedTuple):
    """How radiographs are taken."""

    dose: float
    """As a multiple of the phantoms' own exposure: `cxr.sources.phantom.detector.QUANTA`."""
    pixel: float
    """Side of a pixel, mm."""

    @property
    def name(self) -> str:
        """Return what tables and files call it."""
        return f"dose {self.dose:g}, {self.pixel:g} mm"


@dataclass(frozen=True)
class Protocol:
    """Section `trial` of trial/params.yaml."""

    seed: Annotated[int, SEED]
    people: Annotated[int, at_least(4), EVEN]
    regions: Annotated[int, at_least(2)]
    side: Annotated[int, between(32, 256)]
    inner: Annotated[int, between(16, 256), EVEN]
    scale: Annotated[int, between(2, 4)]
    doses: Annotated[tuple[float, ...], THREE]
    pixels: Annotated[tuple[float, ...], THREE]
    display: Annotated[float, between(0.1, 2)]
    unsharp: Annotated[tuple[float, float], Must("two", lambda values: len(values) == 2)]
    contrasts: dict[str, float]
    margin: Annotated[float, between(0, 0.5)]
    epochs: Annotated[int, at_least(1)]

    def __post_init__(self) -> None:
        """Raise ValueError when the values do not fit together."""
        if self.side % self.scale or (self.side - self.inner) % 2 or self.inner > self.side:
            raise ValueError(f"side is {self.side}; expected a multiple of scale, and {self.inner} in its middle")
        if self.inner * self.pixels[0] / 2 < REACH or 4 * spread(self.pixels[0]) > EDGE:
            raise ValueError(f"pixels begin with {self.pixels[0]:g}; expected larger ones: a finding, or the blur, is cut off")
        if tuple(self.contrasts) != FINDINGS or not all(_positive(each) for each in self.contrasts.values()):
            raise ValueError(f"contrasts has {', '.join(self.contrasts)}; expected a number above 0 for {', '.join(FINDINGS)}")

    @property
    def usual(self) -> Setting:
        """Return the setting in the middle, at which contrasts were chosen."""
        return Setting(self.doses[1], self.pixels[1])

    @property
    def settings(self) -> Iterator[Setting]:
        """Yield the usual setting, then the other doses, then the other pixels."""
        yield self.usual
        yield from (Setting(dose, self.usual.pixel) for dose in self.doses if dose != self.usual.dose)
        yield from (Setting(self.usual.dose, pixel) for pixel in self.pixels if pixel != self.usual.pixel)

    @property
    def pairs(self) -> int:
        """Return how many regions there are, each once with a finding and once without."""
        return self.people * self.regions


def _positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 100
