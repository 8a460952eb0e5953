"""Which phantoms are drawn: section `phantom` of params.yaml."""

from dataclasses import dataclass
from typing import Annotated

from cxr.foundation.params import SEED, at_least, between


@dataclass(frozen=True)
class Phantom:
    """Section `phantom` of params.yaml."""

    images: Annotated[int, at_least(1)]
    size: Annotated[int, between(64, 4096)]
    seed: Annotated[int, SEED]
