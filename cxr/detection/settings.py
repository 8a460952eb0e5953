"""What detectors are shown and how they learn: sections `detection` and `train_detector` of params.yaml."""

import re
from dataclasses import dataclass
from typing import Annotated

from cxr.foundation.params import SEED, Must, at_least, between

NETWORKS = re.compile(r"compact|lite0|(torchvision|timm):\w[\w.]*")


@dataclass(frozen=True)
class Detection:
    """Section `detection` of params.yaml."""

    size: Annotated[int, at_least(32)]
    complete: bool
    sensitivity: Annotated[float, between(0.5, 1)]


@dataclass(frozen=True)
class Learning:
    """Section `train_detector` of params.yaml."""

    network: Annotated[str, Must("compact, lite0, torchvision:NAME or timm:NAME", lambda name: bool(NETWORKS.fullmatch(name)))]
    frozen_epochs: Annotated[int, at_least(0)]
    epochs: Annotated[int, at_least(1)]
    batch: Annotated[int, at_least(1)]
    learning_rate: Annotated[float, Must("above 0", lambda rate: rate > 0)]
    seed: Annotated[int, SEED]

    def __post_init__(self) -> None:
        """Raise ValueError when the values do not fit together."""
        if self.frozen_epochs >= self.epochs and self.network != "compact":
            raise ValueError(f"frozen_epochs is {self.frozen_epochs}, and must be less than epochs, {self.epochs}")
