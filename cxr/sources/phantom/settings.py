"""Which phantoms are drawn: section `phantom` of params.yaml."""

from dataclasses import dataclass
from typing import Annotated, Literal

from cxr.foundation.params import SEED, Must, at_least, between

BITS = Must("of 8, 10, 12 or 16", lambda value: value in {8, 10, 12, 16})


@dataclass(frozen=True)
class Phantom:
    """Section `phantom` of params.yaml."""

    images: Annotated[int, at_least(1)]
    size: Annotated[int, between(64, 4096)]
    seed: Annotated[int, SEED]
    format: Literal["jpeg", "png", "dicom"] = "jpeg"
    bits: Annotated[int, BITS] = 8

    def __post_init__(self) -> None:
        """Raise ValueError when the format cannot hold the bits."""
        if self.format == "jpeg" and self.bits != 8:
            raise ValueError(f"bits is {self.bits}, and a jpeg holds 8; set format to png or dicom")
