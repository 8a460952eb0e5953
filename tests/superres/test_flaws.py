"""What shows in a radiograph that no network was measured with."""

import numpy as np
import pytest

from cxr.sources.phantom.scene import draw
from cxr.superres.estimation.arrival import arrived
from cxr.superres.estimation.flaws import flaw

DOTS = "single pixels that stand out, such as dead ones"
REPEATED = "pixels that are repeated, as when it was enlarged before"
STRIPES = "stripes or a grid"


@pytest.fixture(scope="module")
def clean() -> np.ndarray:
    return draw(0, 3, 512).pixels[::2, ::2] / 255


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


def test_a_flaw_is_told(clean):
    found = arrived(np.repeat(clean, 2, 0))
    assert found.told.endswith(f"; {REPEATED}")
    assert found.spoilt
