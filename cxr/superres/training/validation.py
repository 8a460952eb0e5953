"""Windows of validation images, by which a network is measured and chosen."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from cxr.dataset.packed import Frames, Integers
from cxr.foundation.errors import UserError
from cxr.foundation.randomness import generator
from cxr.measures.quality import psnr, ssim
from cxr.superres.degradation.levels import White, in_unit_range, to_levels
from cxr.superres.degradation.passage import MARGIN
from cxr.superres.settings import Degradation, Ranges
from cxr.superres.training.crops import GRID, cut_windows, pairs

VALIDATION_IMAGES = 24  # a network is chosen on one window of this many validation images,
VALIDATION_SIDE = 96  # of so many pixels a side: more, judged in float32, would cost training more time than they add certainty
VALIDATION_BATCH = 16


class Validation:
    """Windows of validation images, always the same, by which a network is measured and chosen."""

    def __init__(
        self,
        images: Frames,
        rows: Integers,
        degradations: Sequence[Degradation],
        device: torch.device,
        post_upsampling: bool = False,
        ranges: Ranges | None = None,
        told: bool = False,
    ) -> None:
        """Take one window from each of at most VALIDATION_IMAGES of `rows` of `images`, evenly spaced.

        They are for a `post_upsampling` network or for another, which may be `told` how they arrived.
        With `ranges` that vary, each window's degradation is
        drawn from them, and of `degradations` the scale alone counts.
        Raises UserError when there is no row.
        """
        if len(rows) == 0:
            raise UserError("there is no image to validate on; give more images or a larger split.val")
        chosen = rows[np.linspace(0, len(rows) - 1, min(len(rows), VALIDATION_IMAGES)).round().astype(int)]
        lengths = images.shapes[chosen].T
        side = min(VALIDATION_SIDE, (int(lengths.min()) - 2 * MARGIN) // GRID * GRID)
        positions = (lengths - side - 2 * MARGIN) // GRID + 1
        top, left = (np.random.default_rng(0).random((2, len(chosen))) * positions).astype(np.int64) * GRID
        levels = torch.from_numpy(cut_windows(images, chosen, top, left, side + 2 * MARGIN)).to(device).unsqueeze(1)
        whites = torch.from_numpy((1 << images.bits[chosen]) - 1)
        self.white: White = int(whites[0]) if (whites == whites[0]).all() else whites[:, None, None, None].to(device)
        corners = torch.full((2, len(levels)), MARGIN, device=device)
        windows = partial(
            pairs,
            in_unit_range(levels, self.white),
            corners,
            self.white,
            patch=side,
            post_upsampling=post_upsampling,
            told=told,
        )
        self.windows = {
            each: windows(
                degradations=_drawn(each, ranges, len(levels)) if ranges and ranges.varied else [each],
                source=generator("validation", each.scale),
            )
            for each in degradations
        }
        self.bicubic = self.measure(lambda *inputs: inputs[-1])

    @torch.inference_mode()
    def measure(self, restore: Callable[..., Tensor]) -> dict[Degradation, tuple[float, float]]:
        """Return by degradation the mean PSNR (dB) and SSIM of what `restore` makes of the windows."""
        quality = {}
        for degradation, (*inputs, truth) in self.windows.items():
            batches = zip(*(torch.split(each, VALIDATION_BATCH) for each in inputs), strict=True)
            restored = torch.cat([restore(*batch) for batch in batches])
            levels = to_levels(restored, self.white), to_levels(truth, self.white)
            measured = (measure(*levels, degradation.scale, self.white).mean().item() for measure in (psnr, ssim))
            quality[degradation] = next(measured), next(measured)
        return quality


def _drawn(degradation: Degradation, ranges: Ranges, count: int) -> list[Degradation]:
    """Return what befalls each of `count` windows at the scale of `degradation`: always the same."""
    source = generator("validation", "passage", degradation.scale)
    return [ranges.drawn(degradation.scale, lambda: torch.rand((), generator=source).item()) for _ in range(count)]
