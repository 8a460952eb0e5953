"""What shows in a radiograph that no network was measured with."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
import torch

from cxr.sources.phantom.scene import draw
from cxr.superres.degradation.reduction import reduced
from cxr.superres.estimation.arrival import STEPS, arrived
from cxr.superres.estimation.flaws import flaw

DOTS = "single pixels that stand out, such as dead ones"
REPEATED = "pixels that are repeated, as when it was enlarged before"
STRIPES = "stripes, a grid, or less detail across than down"


@pytest.fixture(scope="module")
def clean() -> np.ndarray:
    return smaller(reduced)


def smaller(how: Callable[[torch.Tensor, int], torch.Tensor]) -> np.ndarray:
    """Return a phantom without noise, made half as large `how`, in whole grey levels."""
    fine = reduced(torch.from_numpy(draw(0, 3, 1536).pixels / 255)[None, None], 3)
    fine = fine[..., : fine.shape[-2] // 2 * 2, : fine.shape[-1] // 2 * 2]
    levels: np.ndarray = np.round(how(fine, 2)[0, 0].numpy().clip(0, 1) * 255)
    return levels / 255


def waves(shape: tuple[int, int], period: float, slope: float = 0.0) -> np.ndarray:
    down, across = np.indices(shape)
    return 6 / 255 * np.sin(2 * np.pi * (down + slope * across) / period)


def test_a_radiograph_has_no_flaw(clean):
    assert flaw(clean) == ""
    assert flaw((clean + np.random.default_rng(0).normal(0, 5 / 255, clean.shape)).clip(0, 1)) == ""
    assert flaw(np.zeros((64, 64))) == ""


@pytest.mark.parametrize("turn", [0, 1])
def test_stripes_and_grids_show(clean, turn):
    image = np.rot90(clean, turn)
    columns = np.random.default_rng(0).normal(0, 3 / 255, image.shape[1])
    assert flaw((image + columns).clip(0, 1)) == STRIPES
    assert flaw((image + waves(image.shape, 2.5)).clip(0, 1)) == STRIPES
    assert flaw((image + columns).clip(0, 1), compressed=True) == ""
    assert flaw((image + waves(image.shape, 3.3, slope=0.7)).clip(0, 1)) == ""  # aslant, as anatomy may be


def test_dots_show_and_letters_do_not(clean):
    dotted = clean.copy()
    dotted[5::40, 7::40] = 1.0
    assert flaw(dotted) == DOTS
    dotted[5::40, 8::40] = 1.0  # two and two
    assert flaw(dotted) == ""


@pytest.mark.parametrize("axis", [0, 1])
def test_repeated_pixels_show(clean, axis):
    assert flaw(np.repeat(clean, 2, axis)) == REPEATED
    more = np.arange(round(1.1 * clean.shape[axis])) / 1.1
    assert flaw(clean.take(more.astype(int), axis)) == REPEATED


def test_what_was_made_smaller_without_smoothing_shows(clean):
    def subsampled(fine: torch.Tensor, scale: int) -> torch.Tensor:
        return fine[..., ::scale, ::scale]

    def of_opencv(fine: torch.Tensor, scale: int) -> torch.Tensor:
        size = tuple(length // scale for length in fine.shape[:1:-1])
        return torch.from_numpy(cv2.resize(fine[0, 0].numpy(), size, interpolation=cv2.INTER_CUBIC))[None, None]

    assert not arrived(clean).jagged
    for how in (subsampled, of_opencv):
        found = arrived(smaller(how))
        assert found.jagged
        assert found.spoilt
        assert found.told.endswith(f"; {STEPS}")
    noisy = (clean + np.random.default_rng(0).normal(0, 2 / 255, clean.shape)).clip(0, 1)
    assert not arrived(noisy).jagged


def test_a_flaw_is_told(clean):
    found = arrived(np.repeat(clean, 2, 0))
    assert found.told.endswith(f"; {REPEATED}")
    assert found.spoilt
