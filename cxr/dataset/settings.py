"""What is packed, and how it is split: sections `preprocess` and `split` of params.yaml."""

from dataclasses import dataclass
from typing import Annotated, Literal

from cxr.foundation.params import SEED, Must, at_least, between

Frame = Literal["whole", "square"]
Normalise = Literal["none", "minmax", "percentile"]


@dataclass(frozen=True)
class Preprocess:
    """Section `preprocess` of params.yaml."""

    frame: Frame
    size: Annotated[int, between(16, 4096)]
    normalise: Normalise
    limit: Annotated[int, at_least(1)]
    max_damaged: Annotated[float, between(0, 1)]
    seed: Annotated[int, SEED]


Fraction = Annotated[float, Must("above 0 and below 1", lambda value: 0 < value < 1)]


@dataclass(frozen=True)
class Split:
    """Section `split` of params.yaml: the share of the images in each part, and the seed. The shares add up to 1."""

    train: Fraction
    val: Fraction
    test: Fraction
    seed: Annotated[int, SEED]

    def __post_init__(self) -> None:
        """Raise ValueError when the shares do not add up to 1."""
        total = self.train + self.val + self.test
        if abs(total - 1) > 1e-6:
            shares = f"{self.train:g}, {self.val:g} and {self.test:g}"
            raise ValueError(f"train, val and test are {shares} and add up to {total:g}; expected 1")
