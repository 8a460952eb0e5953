"""Which degradations there are: section `degrade` of params.yaml. No torch: `check` reads it at once."""

from dataclasses import dataclass
from itertools import product
from typing import Annotated, Literal, NamedTuple

from cxr.foundation.params import SEED, Must, between

# Each in a section's list: none twice, and one at least.
EACH_ONCE = Must("at least one, each once", lambda values: 0 < len(values) == len(set(values)))


class Degradation(NamedTuple):
    """One way in which a low-resolution copy is made: its scale, and the standard deviation of its noise in grey levels."""

    scale: int
    noise: float = 0.0

    @property
    def name(self) -> str:
        """Return what tables and files call it: x2, or with noise x2_noise5."""
        return f"x{self.scale}" + (f"_noise{self.noise:g}" if self.noise else "")

    @property
    def title(self) -> str:
        """Return what pictures call it."""
        noisy = f" of images with detector noise of {self.noise:g} grey levels" if self.noise else ""
        return f"x{self.scale} super-resolution{noisy}"


@dataclass(frozen=True)
class Degrade:
    """Section `degrade` of params.yaml."""

    scales: Annotated[tuple[Literal[2, 3, 4], ...], EACH_ONCE]
    noise: Annotated[tuple[Annotated[float, between(0, 64)], ...], EACH_ONCE]
    seed: Annotated[int, SEED]

    @property
    def degradations(self) -> tuple[Degradation, ...]:
        """Return every scale with every level of noise."""
        return tuple(Degradation(*each) for each in product(self.scales, self.noise))

    def at(self, scale: int) -> tuple[Degradation, ...]:
        """Return one scale with every level of noise."""
        return tuple(each for each in self.degradations if each.scale == scale)

    @property
    def levels(self) -> dict[str, tuple[float, ...]]:
        """Return what a model file says of the degradations that the model was trained for."""
        return {"scales": self.scales, "noise": self.noise}
