"""How networks are trained: sections `train_srcnn`, `train_vdsr`, `train_edsr` and `augment` of params.yaml."""

from dataclasses import dataclass
from typing import Annotated, Literal

from cxr.foundation.params import SEED, Must, at_least, between


@dataclass(frozen=True)
class Training:
    """Sections `train_srcnn`, `train_vdsr` and `train_edsr` of params.yaml."""

    steps: Annotated[int, at_least(1)]
    batch: Annotated[int, at_least(1)]
    patch: Annotated[int, at_least(1)]
    optimizer: Literal["adam", "soap"]
    soap_every: Annotated[int, at_least(1)]
    learning_rate: Annotated[float, Must("above 0", lambda rate: rate > 0)]
    schedule: Literal["cosine", "quadratic"]
    fourier: Annotated[float, at_least(0)]
    validations: Annotated[int, at_least(1)]
    precision: Literal["auto", "float32", "bfloat16"]
    ranks: Annotated[int, at_least(1)]
    seed: Annotated[int, SEED]

    def __post_init__(self) -> None:
        """Raise ValueError when the values do not fit together."""
        if self.batch % self.ranks:
            raise ValueError(f"a batch of {self.batch} cannot be shared among {self.ranks} ranks; make it a multiple of ranks")


@dataclass(frozen=True)
class Augment:
    """Section `augment` of params.yaml."""

    flip: bool
    zoom: Annotated[float, between(0.25, 1)]
    rotation: Annotated[float, between(0, 45)]
    warped: Annotated[float, between(0, 1)]
