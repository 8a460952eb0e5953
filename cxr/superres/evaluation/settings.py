"""Which error maps are drawn: section `errormaps` of params.yaml."""

from dataclasses import dataclass
from typing import Annotated

from cxr.foundation.params import Must, at_least


@dataclass(frozen=True)
class ErrorMaps:
    """Section `errormaps` of params.yaml."""

    panels: Annotated[int, at_least(1)]
    ceiling: Annotated[float, Must("above 0 and at most 255", lambda value: 0 < value <= 255)]
    inset: Annotated[int, at_least(8)]
