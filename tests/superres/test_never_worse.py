"""Whatever comes in: what `cxr enhance` makes of it is no worse than bicubic interpolation, or it is refused."""

import io
from collections.abc import Callable

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from cxr.foundation.place import ROOT
from cxr.measures.quality import psnr
from cxr.sources.phantom.scene import draw
from cxr.superres.degradation.enlargement import enlarge
from cxr.superres.degradation.passage import noise_field, observed
from cxr.superres.degradation.reduction import reduced
from cxr.superres.enhance import strengthened
from cxr.superres.estimation.arrival import arrived
from cxr.superres.limits import limit
from cxr.superres.model import Model, load_model
from cxr.superres.settings import Degradation
from tests.support.phantoms import square

pytestmark = pytest.mark.slow

WORSE = 0.05  # dB
SCALE = 2
Image8 = np.ndarray


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(ROOT / "pretrained/edsr.safetensors", torch.device("cpu"))


@pytest.fixture(scope="module")
def truth() -> torch.Tensor:
    return phantom(3, 320)


def phantom(index: int, side: int) -> torch.Tensor:
    """Return a phantom without noise of its own: (1, 1, side, side) in [0, 1]."""
    pixels = draw(0, index, 3 * side).pixels[: 3 * side, : 3 * side]
    fine = torch.from_numpy(pixels / 255)[None, None]
    return (reduced(fine, 3) * 255).round().clamp(0, 255) / 255


def noisy(low: torch.Tensor, noise: float, grain: float = 0.0) -> Image8:
    degradation = Degradation(1, noise, grain=grain)
    field = noise_field(degradation, tuple(low.shape), torch.Generator().manual_seed(0))
    return observed(low, degradation, field)[0, 0].numpy()


def jpeg(image: Image8, *qualities: int) -> Image8:
    levels = Image.fromarray(np.round(image * 255).astype(np.uint8))
    for quality in qualities:
        file = io.BytesIO()
        levels.save(file, "JPEG", quality=quality)
        levels = Image.open(file)
    return np.asarray(levels) / 255


def bordered(image: Image8, level: int) -> Image8:
    made = image.copy()
    made[:, : image.shape[1] // 4] = level / 255
    return made


def ramped(image: Image8, noise: float) -> Image8:
    """Return `image` beside a border that goes from level 2 to 250, with little noise."""
    height, width = image.shape
    ramp = np.broadcast_to(np.linspace(2, 250, height)[:, None], (height, width // 4))
    levels = ramp + np.random.default_rng(0).normal(0, noise, ramp.shape)
    made = image.copy()
    made[:, : width // 4] = levels / 255
    return made


def framed(image: Image8, share: float, noise: float) -> Image8:
    """Return `image` in a frame, as wide as `share` of its shorter side, that goes from level 20 to 60, with little noise."""
    height, width = image.shape
    wide = round(share * min(height, width))
    ramp = np.broadcast_to(np.linspace(20, 60, width), image.shape) + np.random.default_rng(0).normal(0, noise, image.shape)
    made = ramp / 255
    inside = slice(wide, -wide), slice(wide, -wide)
    made[inside] = image[inside]
    return made


def beside(left: Image8, right: Image8) -> Image8:
    """Return the left half of `left` beside the right half of `right`."""
    middle = left.shape[1] // 2
    return np.concatenate([left[:, :middle], right[:, middle:]], axis=1)


def regraded(image: Image8, power: float) -> Image8:
    return np.round(image**power * 255) / 255


def dotted(image: Image8, share: float) -> Image8:
    """Return `image`, of whose pixels a `share` is black or white."""
    chance = np.random.default_rng(0).random(image.shape)
    return np.where(chance < share / 2, 0, np.where(chance < share, 1, image))


def striped(image: Image8, noise: float) -> Image8:
    """Return `image` with noise that all pixels of a column share."""
    return np.round((image + np.random.default_rng(0).normal(0, noise / 255, image.shape[1])).clip(0, 1) * 255) / 255


def gridded(image: Image8, period: float) -> Image8:
    """Return `image` behind a grid that has lines of 6 levels, `period` pixels apart."""
    lines = 6 / 255 * np.sin(2 * np.pi * np.arange(image.shape[0]) / period)
    return np.round((image + lines[:, None]).clip(0, 1) * 255) / 255


def shaded(image: Image8, noise: float, power: int) -> Image8:
    """Return `image` with noise that is `noise` where it is black, and none where it is white."""
    field = np.random.default_rng(0).normal(0, noise / 255, image.shape) * (1 - image) ** power
    return np.round((image + field).clip(0, 1) * 255) / 255


def within(image: Image8, noise: float, low: float, high: float) -> Image8:
    """Return `image` with noise where it is as bright as the pixels from the share `low` to `high`."""
    least, most = np.quantile(image, (low, high))
    field = np.random.default_rng(0).normal(0, noise / 255, image.shape) * ((image >= least) & (image <= most))
    return np.round((image + field).clip(0, 1) * 255) / 255


def nearest(image: Image8, factor: float) -> Image8:
    """Return `image` enlarged by repeating pixels, then cut to its size."""
    rows, columns = (np.round(np.arange(length) / factor).astype(int) for length in image.shape)
    return image[rows][:, columns]


def labelled(image: Image8) -> Image8:
    """Return `image` beside a black border, with a white label in it."""
    made = bordered(image, 0)
    made[10:40, 4:30] = 1
    return made


def plain(low: torch.Tensor) -> Image8:
    return low[0, 0].numpy()


WAYS: dict[str, Callable[[torch.Tensor], Image8]] = {
    "clean": lambda low: low[0, 0].numpy(),
    **{f"noise {level}": lambda low, level=level: noisy(low, level) for level in (0.7, 1, 1.3, 1.6, 2, 3.5, 5, 8, 20)},
    **{
        f"noise {level}, grain {grain}": lambda low, level=level, grain=grain: noisy(low, level, grain)
        for level, grain in ((3, 0.5), (3, 0.7), (3.3, 0.55), (5, 0.7), (5, 1), (10, 0.7), (20, 0.7), (20, 1), (20, 1.5))
    },
    **{f"noise {n}, border {b}": lambda low, n=n, b=b: bordered(noisy(low, n), b) for n in (2, 5, 10) for b in (3, 128, 252)},
    **{
        f"noise {n}, grain {g}, border with a ramp and noise {b}": lambda low, n=n, g=g, b=b: ramped(noisy(low, n, g), b)
        for n, g in ((2, 0), (3.5, 0), (5, 0), (10, 0), (5, 0.7), (20, 0.7))
        for b in (0, 0.3, 0.7)
    },
    **{f"JPEG {each}": lambda low, each=each: jpeg(low[0, 0].numpy(), *each) for each in ((90,), (75,), (10, 95), (30, 95))},
    **{f"JPEG {q}, cropped": lambda low, q=q: jpeg(low[0, 0].numpy(), q)[4:, 2:] for q in (10, 50, 80)},
    **{f"noise {n}, 1/4 of the range": lambda low, n=n: noisy(low / 4, n) for n in (0.5, 1.25, 2, 3)},
    **{f"noise {n} in a frame": lambda low, n=n: framed(noisy(low, n), 0.1, 0.4) for n in (2, 5, 10)},
    **{f"noise {n} in the right half": lambda low, n=n: beside(plain(low), noisy(low, n)) for n in (5, 10)},
    **{f"JPEG {q}, other gamma": lambda low, q=q: regraded(jpeg(plain(low), q), 0.8) for q in (30, 50, 75)},
    **{f"JPEG {q}, turned": lambda low, q=q: np.rot90(jpeg(np.rot90(plain(low)), q), -1) for q in (30, 50, 75)},
    **{f"dots, {share:.1%}": lambda low, share=share: dotted(plain(low), share) for share in (0.001, 0.01)},
    **{f"stripes of {n}": lambda low, n=n: striped(plain(low), n) for n in (3, 5)},
    **{f"grid of {period}": lambda low, period=period: gridded(plain(low), period) for period in (2.5, 3.3)},
    "repeated": lambda low: np.repeat(np.repeat(plain(low)[::2, ::2], 2, 0), 2, 1),
    **{f"noise {n}, 1/4 of the range, grey border": lambda low, n=n: bordered(noisy(low / 4, n), 250) for n in (0.9, 1.25)},
    **{f"noise of {n} in the dark, by {p}": lambda low, n=n, p=p: shaded(plain(low), n, p) for n, p in ((10, 2), (20, 3))},
    **{
        f"noise {n} where it is {name}": lambda low, n=n, shares=shares: within(plain(low), n, *shares)
        for n in (5, 10)
        for name, shares in {"dark": (0, 0.33), "bright": (0.67, 1)}.items()
    },
    **{f"noise {n}, 1/4 of the range, border": lambda low, n=n: labelled(noisy(low / 4, n)) for n in (0.9, 1.25, 3)},
}


OF_ANOTHER = (
    "clean",
    "noise 1",
    "noise 5",
    "noise 5, grain 0.7",
    "noise 10 in the right half",
    "noise of 10 in the dark, by 2",
    "noise 10 where it is dark",
    "noise 10 where it is bright",
    "JPEG (75,)",
    "dots, 0.1%",
    "repeated",
)


@pytest.mark.parametrize("way", WAYS)
def test_no_radiograph_comes_out_worse(model, truth, way):
    check(model, truth, way, SCALE)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("way", OF_ANOTHER)
def test_no_other_radiograph_comes_out_worse_at_any_scale(model, way, scale):
    check(model, phantom(7, 384), way, scale)


def check(model: Model, truth: torch.Tensor, way: str, scale: int) -> None:
    """Assert that `model` does no worse than bicubic interpolation on `truth` as it came by `way`."""
    came = WAYS[way](reduced(truth, scale))
    gain, allowed, told = gained(
        model, came, truth / 4 if "1/4" in way else truth**0.8 if "gamma" in way else truth, way, scale
    )
    assert gain > -WORSE or not allowed, f"{gain:+.2f} dB at strength {allowed:g}; {told}"


def gained(model: Model, came: Image8, shown: torch.Tensor, way: str, scale: int) -> tuple[float, float, str]:
    """Return how many dB `model` gains over bicubic interpolation, how strongly `cxr enhance` uses it, and what it says."""
    low = torch.from_numpy(np.ascontiguousarray(came, np.float32))[None, None]
    arrival = arrived(low[0, 0].numpy())
    allowed = limit(model, scale, arrival).cap
    bicubic = enlarge(low, scale)
    made = strengthened(model, low, scale, allowed, bicubic=bicubic, arrival=arrival.for_network)
    height, width = (length * scale for length in came.shape)
    compared = shown[..., -height:, -width:]  # what cropping takes away is first
    frame = width // 10 * scale + 8 if "frame" in way else scale
    left = width // 4 + 8 if "border" in way else width // 2 + 8 if "half" in way else frame
    inside = (..., slice(frame, -frame), slice(left, -frame))
    gain = psnr(made[inside].double(), compared[inside], 0, 1) - psnr(bicubic[inside].double(), compared[inside], 0, 1)
    return gain.item(), allowed, arrival.told


def made_smaller(truth: torch.Tensor, times: int, how: int) -> Image8:
    """Return `truth` as OpenCV makes it smaller, which smooths by INTER_AREA alone."""
    levels = np.round(truth[0, 0].numpy() * 255).astype(np.uint8)
    height, width = levels.shape
    return cv2.resize(levels, (width // times, height // times), interpolation=how) / 255


@pytest.mark.parametrize(
    ("times", "how"), [(2, cv2.INTER_CUBIC), (2, cv2.INTER_NEAREST), (2, cv2.INTER_AREA), (4, cv2.INTER_LINEAR)]
)
@pytest.mark.parametrize("index", [3, 7])
def test_what_was_made_smaller_otherwise_comes_out_no_worse(model, index, times, how):
    truth = phantom(index, 640)
    came = made_smaller(truth, times, how)
    shown = truth if times == 2 else reduced(truth, times // 2)
    gain, allowed, told = gained(model, came, shown, "", SCALE)
    assert gain > -WORSE or not allowed, f"{gain:+.2f} dB at strength {allowed:g}; {told}"
    assert (allowed < 0.3) == (how != cv2.INTER_AREA), told


@pytest.mark.parametrize("factor", [1.05, 1.1, 1.2])
def test_what_was_enlarged_a_little_by_repeating_pixels_is_refused(model, truth, factor):
    assert limit(model, SCALE, arrived(nearest(plain(reduced(truth, SCALE)), factor))).cap == 0


RAMP = "border with a ramp and noise 0.3"
NEAR = (
    "clean",
    "noise 1",
    "noise 2",
    "noise 5",
    "noise 5, grain 0.7",
    "noise 5, border 252",
    f"noise 5, grain 0, {RAMP}",
    "JPEG (90,)",
    "JPEG (75,)",
)


@pytest.mark.parametrize("way", NEAR)
def test_what_was_measured_is_enhanced(model, truth, way):
    came = WAYS[way](reduced(truth, SCALE))
    assert limit(model, SCALE, arrived(came)).cap > 0


FAR = (
    "noise 20",
    "noise 20, grain 0.7",
    "noise 20, grain 1",
    "noise 10, border 252",
    f"noise 10, grain 0, {RAMP}",
    "JPEG (10, 95)",
)


@pytest.mark.parametrize("way", FAR)
def test_what_is_far_beyond_what_was_measured_is_refused(model, truth, way):
    came = WAYS[way](reduced(truth, SCALE))
    assert limit(model, SCALE, arrived(came)).cap == 0


@pytest.mark.parametrize("side", [8, 31])
def test_what_is_too_small_to_tell_is_refused(model, side):
    assert limit(model, SCALE, arrived(square(0, 1, side) / 255)).cap == 0
