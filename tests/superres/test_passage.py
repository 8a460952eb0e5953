"""What befalls a radiograph on its way, against SciPy, Pillow and the moments of Poisson's distribution."""

import io
import itertools

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from cxr.foundation.errors import UserError
from cxr.foundation.randomness import generator
from cxr.superres.degradation.jpeg import compressed, cosines, inverse, quantisation
from cxr.superres.degradation.passage import MARGIN, blurred, noise_field, observed, reach
from cxr.superres.degradation.reduction import low_resolution
from cxr.superres.settings import SOFTEST, WIDEST, Condition, Degradation, Ranges, chosen, conditions
from tests.support.phantoms import square

RANGES = Ranges(clean=0.3, blur=1.2, noise=6.0, quanta=(1000.0, 20000.0), grain=0.7, jpeg=(60, 95))


def tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.array(image)).float()[None, None] / 255


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return square(3, 1, 120)


@pytest.mark.parametrize("deviation", [0.3, 1.0, SOFTEST])
def test_a_gaussian_blur_is_scipys(image, deviation):
    found = blurred(tensor(image), Degradation(2, blur=deviation))[0, 0].numpy() * 255
    radius = int(np.ceil(3 * deviation))
    expected = ndimage.gaussian_filter(image.astype(float), deviation, mode="nearest", radius=radius)
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("radius", [0.4, 1.0, 2.5, WIDEST])
def test_a_disc_spreads_a_point_over_its_area(radius):
    point = torch.zeros(1, 1, 21, 21)
    point[..., 10, 10] = 1
    found = blurred(point, Degradation(2, disc=radius))[0, 0].numpy()
    assert found.sum() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(found, found.T, atol=1e-6)
    down, across = np.mgrid[-10:11, -10:11]
    # Of a disc, evenly filled: a quarter of the squared radius along each axis, and a twelfth for the pixels (Sheppard).
    spread = (found * across**2).sum()
    assert spread == pytest.approx(radius**2 / 4 + 1 / 12, abs=0.07) or radius <= 0.5
    inside = np.hypot(down, across) < radius - 0.75
    np.testing.assert_allclose(found[inside], 1 / (np.pi * radius**2), rtol=0.02)
    assert not found[np.hypot(down, across) > radius + 0.75].any()


def test_without_anything_else_a_radiograph_is_only_reduced(image):
    for scale in (2, 3, 4):
        assert torch.equal(observed(tensor(image), Degradation(scale)), low_resolution(tensor(image), scale))


@pytest.mark.parametrize(("level", "quanta", "noise"), [(0.1, 2000, 0.0), (0.5, 2000, 0.0), (0.7, 500, 3.0)])
def test_counted_quanta_have_the_mean_and_variance_of_poissons_distribution(level, quanta, noise):
    flat = torch.full((1, 1, 800, 800), level, dtype=torch.float64)
    degradation = Degradation(2, noise, quanta)
    low = observed(flat, degradation, noise_field(degradation, (1, 1, 400, 400), generator("t")), (1 << 16) - 1)
    poisson = np.random.default_rng(0).poisson(level * quanta, 400 * 400) / quanta
    assert low.mean().item() == pytest.approx(level, rel=0.002)
    assert low.var().item() == pytest.approx(poisson.var() + (noise / 255) ** 2, rel=0.02)


@pytest.mark.parametrize("grain", [0.4, 1.0])
def test_correlated_noise_is_as_strong_and_as_wide_as_asked_for(grain):
    field = noise_field(Degradation(2, 3.0, grain=grain), (1, 1, 500, 500), generator("t"))
    assert field.std().item() == pytest.approx(1, rel=0.01)
    assert field[..., :2, :].std().item() == pytest.approx(1, rel=0.1)  # at the border as well
    right = (field[..., 1:] * field[..., :-1]).mean().item()
    taps = np.exp(-0.5 * (np.arange(-9, 10) / grain) ** 2)
    assert right == pytest.approx((taps[1:] * taps[:-1]).sum() / (taps**2).sum(), abs=0.02)


@pytest.mark.parametrize("quality", [1, 10, 49, 50, 75, 95, 100])
def test_quantisation_tables_are_those_that_pillow_writes(quality):
    file = io.BytesIO()
    Image.new("L", (8, 8)).save(file, "JPEG", quality=quality)
    (table,) = Image.open(file).quantization.values()
    assert quantisation(quality).flatten().tolist() == list(table)


@pytest.mark.parametrize(("quality", "shape"), [(60, (96, 96)), (75, (91, 118)), (90, (96, 90)), (95, (40, 41))])
def test_jpeg_is_what_pillow_makes_of_it(image, quality, shape):
    cut = image[: shape[0], : shape[1]]
    file = io.BytesIO()
    Image.fromarray(cut).save(file, "JPEG", quality=quality)
    expected = np.asarray(Image.open(file)).astype(int)
    found = (compressed(tensor(cut), quality)[0, 0] * 255).round().int().numpy()
    off = np.abs(found - expected)  # libjpeg's transforms are of integers: a coefficient on a half may go to the other side
    assert np.quantile(off, 0.97) <= 1
    assert off.mean() < 0.15
    assert off.max() <= quantisation(quality).max() / 4
    assert np.abs(found - cut.astype(int)).mean() > 5 * off.mean()


def test_blocks_are_transformed_and_back():
    images = torch.rand(2, 1, 16, 24, generator=generator("t"))
    torch.testing.assert_close(inverse(cosines(images)), images)
    assert compressed(torch.zeros(0, 1, 21, 30), 75).shape == (0, 1, 21, 30)  # another rank's crop
    assert cosines(torch.ones(1, 1, 8, 8))[0, 0, 0, 0, 0].item() == pytest.approx(8)


def test_jpeg_comes_last(image):
    degradation = Degradation(2, noise=3.0, jpeg=75)
    field = noise_field(degradation, (1, 1, 60, 60), generator("t"))
    before = observed(tensor(image), degradation._replace(jpeg=0), field)
    torch.testing.assert_close(observed(tensor(image), degradation, field), compressed(before, 75))


def test_a_quality_that_is_none_is_refused():
    with pytest.raises(ValueError, match="a quality of 0 is none of 1 to 100"):
        quantisation(0)


@pytest.mark.parametrize(("scale", "blurred_by"), [*itertools.product((2, 3, 4), ({}, {"blur": SOFTEST}, {"disc": WIDEST}))])
def test_nothing_beyond_reach_is_seen(image, scale, blurred_by):
    degradation = Degradation(scale, **blurred_by)
    assert reach(degradation) <= MARGIN
    other = tensor(image).clone()
    around = -(-reach(degradation) // scale) * scale  # whole low-resolution pixels
    other[..., : 60 - around] = 1
    same = slice(60 // scale, None)
    assert torch.equal(observed(other, degradation)[..., same], observed(tensor(image), degradation)[..., same])


def drawn(count: int) -> list[Degradation]:
    source = generator("t")
    return [RANGES.drawn(2, lambda: torch.rand((), generator=source).item()) for _ in range(count)]


def test_what_is_drawn_is_within_the_ranges_and_in_the_shares_that_are_told():
    found = drawn(4000)
    left = [each for each in found if each == Degradation(2)]
    others = [each for each in found if each != Degradation(2)]
    assert len(left) / 4000 == pytest.approx(0.3 + 0.7 / 16, abs=0.03)  # a sixteenth of the rest: no blur, noise or JPEG
    shares = {"blur": 0.5, "jpeg": 0.5, "noise": 0.5, "quanta": 0.25}
    for name, share in shares.items():
        values = [getattr(each, name) for each in others if getattr(each, name)]
        assert len(values) / (0.7 * 4000) == pytest.approx(share, abs=0.03), name
    assert max(each.blur for each in found) <= 1.2
    assert max(each.noise for each in found) <= 6
    assert {each.jpeg for each in found} == {0, *range(60, 96)}
    quanta = [each.quanta for each in found if each.quanta]
    assert 1000 <= min(quanta) <= 1050 < 19000 <= max(quanta) <= 20000
    assert np.median(quanta) == pytest.approx((1000 * 20000) ** 0.5, rel=0.1)
    assert not any(each.noise and each.quanta for each in found)
    assert all(each.noisy for each in found if each.grain)


def test_a_range_of_clean_crops_alone_is_not_blind():
    assert RANGES.varied
    assert not Ranges(1.0, 1.2, 6.0, (1000.0, 20000.0), 0.7, (60, 95)).varied
    assert Ranges(1.0, 1.2, 6.0, (1000.0, 20000.0), 0.7, (60, 95)).levels == {}
    assert RANGES.levels["noise"] == (0.0, 6.0)
    assert RANGES.__class__(0.3, 1.2, 0.0, (1000.0, 20000.0), 0.7, (60, 95)).levels["noise"] == (0.0,)  # each once


def read(folder, text: str) -> dict[str, Condition]:
    (folder / "params.yaml").write_text(text)
    return conditions(folder / "params.yaml")


def test_conditions_are_read_and_named(tmp_path):
    found = read(tmp_path, "conditions: {clean: {}, noise5: {noise: 5}, mixed: {blur: 1, noise: 2, jpeg: 90}}")
    made = chosen(found, ["clean", "mixed"], (2, 4), tmp_path)
    assert [each.name for each in made] == ["x2", "x2_mixed", "x4", "x4_mixed"]
    assert made[0] == Degradation(2)
    assert made[1] == Degradation(2, noise=2.0, blur=1.0, jpeg=90, condition="mixed")
    told = "x2 super-resolution of images with a blur of 1 pixel, detector noise of 2 grey levels, JPEG of quality 90"
    assert made[1].title == told
    with pytest.raises(UserError, match=r"evaluate\.conditions has 'noise2', none of clean, noise5, mixed"):
        chosen(found, ["noise2"], (2,), tmp_path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{}", "the section conditions is missing"),
        ("conditions: {Noise: {}}", "'Noise' is no name; expected small letters and digits"),
        ("conditions: {native: {}}", "'native' is no name"),
        ("conditions: {clean: {noise: 1}}", r"conditions\.clean is .*nothing happens in it"),
        ("conditions: {soft: {blur: 2}}", r"conditions\.soft\.blur is 2; expected .* from 0 to 1\.3"),
        ("conditions: {soft: {blur: 1, disc: 2}}", r"conditions\.soft: blur and disc are both given"),
        ("conditions: {grainy: {grain: 1}}", r"conditions\.grainy: grain is of noise"),
        ("conditions: {noisy: {noice: 1}}", r"conditions\.noisy\.noice is unknown; did you mean noise"),
        ("conditions: {noisy: 5}", r"conditions\.noisy is 5; expected the keys noise"),
    ],
)
def test_a_wrong_condition_is_one_clear_line(tmp_path, text, reason):
    with pytest.raises(UserError, match=reason):
        read(tmp_path, text)
