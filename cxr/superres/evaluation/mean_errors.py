"""Where each method errs in the mean over the test images."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr.foundation.files import replacing, whole
from cxr.superres.evaluation.observed import Restored
from cxr.superres.methods import NAMES
from cxr.superres.settings import Degradation

Map = npt.NDArray[np.floating[Any]]
"""Mean absolute errors in grey levels (H, W)."""


class MeanErrors:
    """Mean absolute errors at each pixel over `images` images, by method and degradation, added up as they are restored."""

    def __init__(self, images: int) -> None:
        self.images = images
        self.maps: dict[str, Map] = {}

    def add(self, restored: Restored, degradation: Degradation) -> None:
        """Count one more image of those at `degradation`."""
        for model in NAMES:
            error = (restored.images[model].float() - restored.truth.float()).abs()[0, 0].cpu().numpy() / self.images
            name = _name(model, degradation)
            self.maps[name] = self.maps[name] + error if name in self.maps else error

    def save(self, path: Path) -> None:
        """Write them to the .npz `path`, whole or not at all."""
        with replacing(path) as partial:
            np.savez(partial, allow_pickle=False, **self.maps)


def load(path: Path, degradations: Sequence[Degradation]) -> dict[Degradation, dict[str, Map]]:
    """Return by degradation and method what `MeanErrors` saved to `path`. Raises UserError when it is missing or damaged."""
    with whole(path), np.load(path, allow_pickle=False) as file:
        return {each: {model: file[_name(model, each)] for model in NAMES} for each in degradations}


def _name(model: str, degradation: Degradation) -> str:
    return f"{model}_{degradation.name}"
