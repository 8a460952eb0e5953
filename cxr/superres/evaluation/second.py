"""A second opinion: PSNR and SSIM of some test images, measured again by scikit-image."""

from collections.abc import Mapping, Sequence

import numpy as np
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from cxr.foundation.errors import UserError
from cxr.superres.evaluation.observed import Restored

EVERY = 20
"""Of so many test images one is measured again."""
FARTHEST = {"psnr": 1e-6, "ssim": 1e-9}
"""dB, and SSIM: how far both may be apart."""


def agree(restored: Restored, scale: int, rows: Sequence[Mapping[str, str | float]], image: str) -> None:
    """Raise UserError unless `rows` have of the methods' images what scikit-image measures; `image` is their id.

    Each has the keys model, psnr in dB, and ssim; `scale` pixels at each border do not count.
    """
    inner = (0, 0, slice(scale, -scale), slice(scale, -scale))
    truth = restored.truth[inner].double().cpu().numpy()
    for row in rows:
        seen = restored.images[str(row["model"])][inner].double().cpu().numpy()
        again = {
            "psnr": peak_signal_noise_ratio(truth, seen, data_range=restored.white) if (truth != seen).any() else np.inf,
            "ssim": structural_similarity(
                truth, seen, data_range=restored.white, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
            ),
        }
        for measure, value in again.items():
            own = float(row[measure])
            if own != value and not abs(own - value) <= FARTHEST[measure]:
                raise UserError(
                    f"{measure} of {image} by {row['model']} at x{scale} is {own:.12g}, but {value:.12g} by scikit-image; "
                    "do not trust these figures, and report it with environment.json"
                )
