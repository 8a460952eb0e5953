import numpy as np
import pytest
import torch

from cxr.foundation.errors import UserError
from cxr.superres.evaluation.observed import Restored
from cxr.superres.evaluation.restore import measured
from cxr.superres.evaluation.second import agree


def restored(white: int = 255) -> Restored:
    random = np.random.default_rng(0)
    truth = random.integers(0, white + 1, (1, 1, 60, 48))
    seen = np.clip(truth + random.integers(-9, 10, truth.shape), 0, white)
    truth, seen = (torch.from_numpy(levels).int() for levels in (truth, seen))
    return Restored(truth, truth[..., ::2, ::2], {"bicubic": seen, "vdsr": truth}, white)


@pytest.mark.parametrize("white", [255, 4095])
def test_what_is_measured_is_what_scikit_image_measures(white):
    seen = restored(white)
    rows = measured(seen, 2)
    assert rows[1]["psnr"] == np.inf
    agree(seen, 2, rows, "a")


@pytest.mark.parametrize(("measure", "off"), [("psnr", 2e-6), ("ssim", 2e-9), ("psnr", float("nan"))])
def test_anything_else_stops_the_evaluation_in_one_line(measure, off):
    seen = restored()
    rows = measured(seen, 2)
    rows[0][measure] += off
    with pytest.raises(UserError, match=f"^{measure} of a by bicubic at x2 is .+, but .+ by scikit-image; do not trust these"):
        agree(seen, 2, rows, "a")
