"""Where each method errs in the mean over the test images, all brought to one grid."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch.nn.functional as F

from cxr.dataset.packed import Integers
from cxr.foundation.files import replacing, whole
from cxr.superres.evaluation.observed import Restored
from cxr.superres.methods import NAMES
from cxr.superres.settings import Degradation

Map = npt.NDArray[np.floating[Any]]
"""Mean absolute errors in grey levels of 255 (H, W)."""


class MeanErrors:
    """Mean absolute errors over images of `shapes` (N, 2), by method and degradation, added up as they are restored.

    Radiographs differ in shape: each error map is brought, by the mean over areas, to the median of their rows and columns.
    """

    def __init__(self, shapes: Integers) -> None:
        self.images = len(shapes)
        self.grid = np.median(shapes, axis=0).astype(int)
        self.maps: dict[str, Map] = {}

    def add(self, restored: Restored, degradation: Degradation) -> None:
        """Count one more image of those at `degradation`."""
        grid = tuple((self.grid - self.grid % degradation.scale).tolist())
        for model in NAMES:
            error = restored.error(model) / self.images
            if error.shape != grid:
                error = F.adaptive_avg_pool2d(error[None], grid)[0]
            name = _name(model, degradation)
            found = error.cpu().numpy()
            self.maps[name] = self.maps[name] + found if name in self.maps else found

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
