"""How the classifier is trained: section `diagnose` of params.yaml."""

import re
from dataclasses import dataclass
from typing import Annotated

from cxr.foundation.params import SEED, Must, at_least

NETWORKS = re.compile(r"compact|(torchvision|timm):\w[\w.]*")


@dataclass(frozen=True)
class Diagnose:
    """Section `diagnose` of params.yaml."""

    network: Annotated[str, Must("compact or torchvision:NAME or timm:NAME", lambda name: bool(NETWORKS.fullmatch(name)))]
    epochs: Annotated[int, at_least(1)]
    batch: Annotated[int, at_least(1)]
    learning_rate: Annotated[float, Must("above 0", lambda rate: rate > 0)]
    seed: Annotated[int, SEED]
