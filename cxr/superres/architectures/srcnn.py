"""Which of the published SRCNNs: section `srcnn` of params.yaml."""

from dataclasses import dataclass
from typing import Literal

Mapping = Literal[1, 3, 5]


@dataclass(frozen=True)
class Architecture:
    """Section `srcnn` of params.yaml: which of the published networks, by the side of the filters in the middle."""

    mapping: Mapping
