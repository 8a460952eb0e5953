"""Windows of validation images, by which a network is measured and chosen."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cxr.dataset.packed import Images
from cxr.foundation.errors import UserError
from cxr.foundation.randomness import generator
from cxr.measures.quality import psnr, ssim
from cxr.superres.degradation import MARGIN, to_levels
from cxr.superres.settings import Degradation
from cxr.superres.training.crops import GRID, cut_windows, pairs

VALIDATION_IMAGES = 24  # a network is chosen on one window of this many validation images,
VALIDATION_SIDE = 96  # of so many pixels a side: more, judged in float32, would cost training more time than they add certainty
VALIDATION_BATCH = 16


class Validation:
    """Windows of validation images, always the same, by which a network is measured and chosen."""

    def __init__(
        self, images: Images, rows: npt.NDArray[np.intp], degradations: Sequence[Degradation], device: torch.device
    ) -> None:
        """Take one window from each of at most VALIDATION_IMAGES of `rows` of `images` (N, S, S), evenly spaced.

        Raises UserError when there is no row.
        """
        if len(rows) == 0:
            raise UserError("there is no image to validate on; give more images or a larger split.val")
        size = images.shape[1]
        side = min(VALIDATION_SIDE, (size - 2 * MARGIN) // GRID * GRID)
        chosen = rows[np.linspace(0, len(rows) - 1, min(len(rows), VALIDATION_IMAGES)).round().astype(int)]
        positions = (size - side - 2 * MARGIN) // GRID + 1
        top, left = np.random.default_rng(0).integers(positions, size=(2, len(chosen))) * GRID
        crops = (
            torch.from_numpy(cut_windows(images, chosen, top, left, side + 2 * MARGIN)).to(device).unsqueeze(1).float() / 255
        )
        corners = torch.full((2, len(crops)), MARGIN, device=device)
        self.windows = {each: pairs(crops, corners, side, [each], generator("validation", each.scale)) for each in degradations}
        self.bicubic = self.measure(lambda images: images)

    @torch.inference_mode()
    def measure(self, restore: Callable[[Tensor], Tensor]) -> dict[Degradation, tuple[float, float]]:
        """Return by degradation the mean PSNR (dB) and SSIM of what `restore` makes of the windows."""
        quality = {}
        for degradation, (inputs, truth) in self.windows.items():
            levels = to_levels(torch.cat([restore(batch) for batch in torch.split(inputs, VALIDATION_BATCH)]))
            measured = (measure(levels, to_levels(truth), degradation.scale).mean().item() for measure in (psnr, ssim))
            quality[degradation] = next(measured), next(measured)
        return quality
