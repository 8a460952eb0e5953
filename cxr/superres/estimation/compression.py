"""Through what JPEG an image has gone, told from its pixels: the comb that quantisation leaves in its cosines."""

import numpy as np
import numpy.typing as npt
import torch

from cxr.superres.degradation.jpeg import BLOCK, cosines, quantisation
from cxr.superres.degradation.levels import WHITE

QUALITIES = range(5, 97)
# Grey levels that count as near to a multiple, from and to, between them a tenth of the step. Decoded pixels are whole levels,
# which moves a coefficient by 0.29 in the mean square, and by 8 times that where rows or columns of a block are all alike.
NEAR = (1.0, 3.0)
LARGE = 1.5  # times as far from 0: smaller coefficients are near a multiple of anything
COARSE = 3  # smaller steps are no coarser than NEAR can tell
ENOUGH = 50  # large coefficients
SHARE = 0.97  # of them that must be near a multiple
MOST = 8192  # blocks that are looked at, evenly spread: a megapixel's would tell no more than half of them
ALIKE = 4  # qualities in a row whose tables hardly differ


def quality(image: npt.NDArray[np.floating]) -> int | None:
    """Return the quality, in the scale of the common encoders, of the last JPEG that `image` (H, W) was in; None if none shows.

    The image is in [0, 1], decoded, and begins where the JPEG began. Quality 5 to 96. The coarsest table counts of whose
    steps nearly all large coefficients are multiples: Fan and de Queiroz, "Identification of Bitmap Compression History: JPEG
    Detection and Quantizer Estimation", IEEE TIP 12(2), 2003, with the tables that encoders use.
    """
    height, width = (length // BLOCK * BLOCK for length in image.shape)
    if not (height and width):
        return None
    levels = torch.from_numpy(np.ascontiguousarray(image[:height, :width], np.float32))[None, None] * WHITE
    blocks = levels.reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    inside = ((blocks.amin(dim=(1, 3)) > 0) & (blocks.amax(dim=(1, 3)) < WHITE)).flatten().numpy()
    coefficients = cosines(levels - (WHITE + 1) / 2)[0].flatten(0, 1).numpy()[inside]  # clipping would move the others
    if len(coefficients) > MOST:
        coefficients = coefficients[np.linspace(0, len(coefficients) - 1, MOST).round().astype(int)]
    for candidate in QUALITIES:
        share, _ = _fit(coefficients, candidate)
        if share >= SHARE:  # the next ones have nearly the same steps
            return min(range(candidate, candidate + ALIKE), key=lambda each: _fit(coefficients, each)[1])
    return None


def _fit(coefficients: npt.NDArray[np.floating], candidate: int) -> tuple[float, float]:
    """Return which share of the large `coefficients` (N, 8, 8) is near a multiple of a quality's steps, and how far all are."""
    steps = quantisation(candidate).numpy()
    near = np.clip(steps / 10, *NEAR)
    told = (np.abs(coefficients) > LARGE * near) & (steps >= COARSE)
    found = coefficients[told]
    if len(found) < ENOUGH:
        return 0.0, np.inf
    step, close = (np.broadcast_to(each, coefficients.shape)[told] for each in (steps, near))
    off = np.abs(found - step * np.round(found / step))
    return float((off <= close).mean()), float(off.mean())


def nearest(table: npt.NDArray[np.integer]) -> int:
    """Return the quality whose steps are nearest to `table` (8, 8), since some encoders scale no common one."""
    offs = [np.abs(quantisation(candidate).numpy() - table).sum() for candidate in range(1, 101)]
    return 1 + int(np.argmin(offs))
