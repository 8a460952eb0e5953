"""How large EDSR is: section `edsr` of params.yaml."""

from dataclasses import dataclass
from typing import Annotated

from cxr.foundation.params import between


@dataclass(frozen=True)
class Architecture:
    """Section `edsr` of params.yaml."""

    blocks: Annotated[int, between(1, 32)]
    width: Annotated[int, between(2, 256)]
    told: bool = False
    """Whether it is told how noisy and how compressed a radiograph is."""
