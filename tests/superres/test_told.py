import numpy as np
import pytest
import torch
from PIL import Image
from pydicom import dcmread

from cxr.compute import modelfile
from cxr.live import know, look_at, make
from cxr.service import enhance_file
from cxr.superres.degradation.maps import JPEG, MAPS, NOISE, beside
from cxr.superres.degradation.passage import noise_field, observed
from cxr.superres.enhance import arrival_of, enhance, enhance_part, found, restore
from cxr.superres.estimation.arrival import OWN_NOISE, Arrival
from cxr.superres.estimation.expected import expected
from cxr.superres.estimation.noise import Noise, estimate
from cxr.superres.model import Model, load_model
from cxr.superres.networks.edsr import EDSR, start_from_bicubic
from cxr.superres.settings import Degradation, Ranges
from cxr.superres.told import Told, within
from cxr.superres.training.crops import pairs
from cxr.viewed import Piece
from tests.support.dicom_files import dataset, save
from tests.support.phantoms import square

CPU = torch.device("cpu")
SCALES = (2, 3, 4)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Model:
    """A told EDSR whose weights are drawn, so that what it is told matters."""
    network = EDSR(1, 8, SCALES, told=True)
    start_from_bicubic(network, 0)
    source = torch.Generator().manual_seed(1)
    for weight in (network.head.weight, *(tail.weight for tail in network.tails.values())):
        torch.nn.init.normal_(weight, 0, 0.05, generator=source)
    path = tmp_path_factory.mktemp("told") / "edsr.safetensors"
    said = {"network": "edsr", "blocks": 1, "width": 8, "told": True, "scales": SCALES, "noise": [0], "precision": "float32"}
    modelfile.write(path, {"edsr": network.state_dict()}, said)
    return load_model(path, CPU)


def test_white_noise_is_expected_to_be_found_as_it_is_at_the_middle_of_the_range():
    assert expected(Degradation(2)) == Told()
    assert expected(Degradation(2, noise=3, blur=1)) == Told(pytest.approx(3))
    told = expected(Degradation(2, quanta=2000))
    assert told == Told(pytest.approx((255 * 255 / 2000 / 2) ** 0.5), depends_on_signal=True)


@pytest.mark.parametrize(
    "hidden",
    [{"grain": 0.3}, {"grain": 0.5}, {"grain": 0.7}, {"jpeg": 95}, {"jpeg": 90}, {"jpeg": 75}, {"grain": 0.4, "jpeg": 97}],
    ids=str,
)
@pytest.mark.parametrize("level", [3.0, 5.0])
def test_what_is_expected_of_noise_is_what_the_estimator_finds(level, hidden):
    degradation = Degradation(1, noise=level, **hidden)
    slope = torch.linspace(0.3, 0.7, 512, dtype=torch.float64).expand(1, 1, 512, 512)
    field = noise_field(degradation, (1, 1, 512, 512), torch.Generator().manual_seed(0))
    low = observed(slope, degradation, field)
    found = estimate(low[0, 0].numpy())
    assert expected(degradation).noise == pytest.approx(found.level, rel=0.12, abs=0.6)


def test_noise_that_is_made_is_what_is_told():
    degradation = Degradation(2, noise=2, quanta=1500)
    grey = torch.full((1, 1, 400, 400), 0.5)
    field = noise_field(degradation, (1, 1, 200, 200), torch.Generator().manual_seed(0))
    low = observed(grey, degradation, field)
    assert low.std().item() * 255 == pytest.approx(expected(degradation).noise, rel=0.02)


def test_maps_lie_beside_each_image_and_are_one_value():
    low = torch.rand(2, 1, 5, 7)
    both = beside(low, [Told(3, depends_on_signal=True, jpeg=80), Told()])
    assert both.shape == (2, 1 + MAPS, 5, 7)
    assert torch.equal(both[:, :1], low)
    assert both[0, 1:, 2, 3].tolist() == pytest.approx([3 / NOISE, 1, 20 / JPEG])
    assert not both[1, 1:].any()
    assert (both[:, 1:] == both[:, 1:, :1, :1]).all()


def test_a_crop_is_told_what_befalls_it_and_no_other():
    crops, corners = torch.rand(4, 1, 96, 96), torch.full((2, 4), 24)
    each = [Degradation(2, noise=float(level), jpeg=quality) for level, quality in ((0, 0), (2, 0), (0, 70), (5, 90))]
    low, bicubic, _ = pairs(
        crops, corners, patch=48, degradations=each, source=torch.Generator().manual_seed(0), post_upsampling=True, told=True
    )
    assert low.shape == (4, 1 + MAPS, 24, 24)
    assert torch.equal(low, beside(low[:, :1], [expected(one) for one in each]))
    again, same, _ = pairs(
        crops, corners, patch=48, degradations=each, source=torch.Generator().manual_seed(0), post_upsampling=True
    )
    assert torch.equal(again, low[:, :1])
    assert torch.equal(same, bicubic)


def test_what_is_told_changes_the_result(model):
    low = torch.rand(1, 1, 40, 44)
    ways = [restore(model, low, 2, arrival=told) for told in (Told(), Told(5), Told(jpeg=70), Told(0, depends_on_signal=True))]
    assert all(not torch.equal(ways[0], other) for other in ways[1:])


def test_without_being_told_it_finds_out(model):
    image = square(0, 1, 160) + np.random.default_rng(0).normal(0, 6, (160, 160))
    low = torch.from_numpy(image.clip(0, 255).round().astype(np.float32) / 255)[None, None]
    told = found(low[0])
    assert told.noise == pytest.approx(6, rel=0.25)
    assert torch.equal(restore(model, low, 3), restore(model, low, 3, arrival=told))
    assert not torch.equal(restore(model, low, 3), restore(model, low, 3, arrival=Told()))
    two = torch.cat([low, low.flip(3) * 0.5])
    assert torch.allclose(restore(model, two, 2)[1], restore(model, two[1:], 2)[0], atol=1e-6)  # each by itself


def test_of_a_file_its_own_tables_are_told(model, tmp_path):
    Image.fromarray(square(0, 2, 130)).save(tmp_path / "a.jpeg", quality=75)
    levels = np.asarray(Image.open(tmp_path / "a.jpeg"))
    made = enhance_file(tmp_path / "a.jpeg", tmp_path / "b.png", model, 2)
    told = made.arrival.for_network
    assert told.jpeg == 75
    result = np.asarray(Image.open(tmp_path / "b.png"))
    assert np.array_equal(result, enhance(model, levels, 2, arrival=told))
    assert not np.array_equal(result, enhance(model, levels, 2, arrival=told._replace(jpeg=0)))


def test_a_viewer_has_what_is_told(model, tmp_path):
    Image.fromarray(square(0, 2, 130)).save(tmp_path / "a.jpeg", quality=75)
    known = know(look_at(tmp_path / "a.jpeg", 10**6), model)
    assert known.arrival == enhance_file(tmp_path / "a.jpeg", tmp_path / "b.png", model, 2).arrival.for_network


def test_a_dicom_file_with_padding_is_told_what_was_found_of_it_once(model, tmp_path, monkeypatch):
    stored = square(0, 2, 130).astype(np.uint16) * 16
    stored[:20] = 0
    path = save(dataset(stored, PixelPaddingValue=0), tmp_path / "a.dcm")
    viewed = look_at(path, 10**6)
    plain = know(viewed, model)
    other = Arrival(Noise(30.0, 2.0), 70, by_file=False)
    for place in ("cxr.live", "cxr.service"):
        monkeypatch.setattr(f"{place}.arrived", lambda *_: other)
    known = know(viewed, model)
    assert known.arrival == other.for_network != plain.arrival
    whole = slice(0, 130), slice(0, 130)
    tile = make(model, Piece(viewed, known, 2, whole)).values
    assert not np.array_equal(tile, make(model, Piece(viewed, plain, 2, whole)).values)
    enhance_file(path, tmp_path / "b.dcm", model, 2)
    written = dcmread(tmp_path / "b.dcm").pixel_array.astype(int) - viewed.least
    assert np.array_equal(tile[40:], written[40:])


def test_a_radiographs_own_noise_is_told_as_none_and_correlated_noise_is_not():
    own = [
        Noise(0.9, 0.0, rough=1.2),
        Noise(0.9, 0.0, rough=2.4),
        Noise(1.55**2 - 2, 4.0, rough=2.6),
        Noise(1.31**2, 0.0, rough=3.1),
    ]
    others = [
        Noise(0.9, 0.0, rough=3.9),
        Noise(1.5**2, 0.0, rough=2.1),
        Noise(1.8**2, 0.0, rough=2.95),
        Noise(0.7, 0.0, rough=3.4),
    ]
    arrivals = [Arrival(noise, 80, by_file=True) for noise in (*own, None)]
    assert [each.for_network for each in arrivals] == [Told(jpeg=80)] * 5
    assert [each.noisy for each in arrivals] == [True, True, True, True, False]  # limits count it all the same
    assert "alike everywhere, taken for its detector's own;" in arrivals[0].told
    told = [Arrival(noise, 80, by_file=True).for_network for noise in others]
    assert told == [Told(pytest.approx(level), jpeg=80) for level in (0.9**0.5, 1.5, 1.8, 0.7**0.5)]


def test_where_little_of_the_range_is_used_noise_weighs_the_more():
    noise = Noise(1.0, 0.0, rough=1.1)
    assert Arrival(noise, None, by_file=False).for_network == Told()
    dim = Arrival(noise, None, by_file=False, contrast=0.25)
    assert dim.for_network == Told(1.0)
    assert dim.weighed == pytest.approx(((17 + 1 / 3 - 1 / 12) ** 0.5, 4.4))  # 16 times noise and rounding, less what all have
    assert not dim.own
    assert dim.noisy


@pytest.mark.parametrize("grain", [0.0, 0.7])
def test_correlated_noise_shows_at_medium_frequencies(grain):
    degradation = Degradation(1, noise=5, grain=grain)
    field = noise_field(degradation, (1, 1, 512, 512), torch.Generator().manual_seed(0))
    low = observed(torch.full((1, 1, 512, 512), 0.5, dtype=torch.float64), degradation, field)
    found = estimate(low[0, 0].numpy())
    assert 3.3 < found.rough < 6.5
    assert (found.level < OWN_NOISE) == bool(grain)
    assert Arrival(found, None, by_file=False).for_network.noise == found.level


def test_no_more_is_told_than_was_learnt():
    ranges = {"noise": 3.0, "quanta": (2000.0, 9000.0), "jpeg": (60, 95)}
    assert within(Told(50, depends_on_signal=True, jpeg=10), ranges) == Told(pytest.approx(4.03, abs=0.01), True, 60)
    for told in (Told(), Told(1, jpeg=90)):
        assert within(told, ranges) == told
        assert within(told._replace(noise=99.0), None).noise == 99


def test_of_many_parts_each_may_be_given_what_was_found_once(model):
    image = (square(0, 3, 150) + np.random.default_rng(1).normal(0, 4, (150, 150))).clip(0, 255).astype(np.uint16)
    known = arrival_of(image, 8)
    place = slice(0, 64), slice(30, 90)
    assert known.noise == pytest.approx(4, rel=0.3)
    assert np.array_equal(
        enhance_part(model, image, 2, *place, bits=8, arrival=known), enhance_part(model, image, 2, *place, bits=8)
    )


@pytest.mark.parametrize("width", [2, 3])
def test_parts_of_a_narrow_network_are_those_of_the_whole(tmp_path, width):
    network = EDSR(1, width, SCALES, told=True)
    for weight in network.parameters():
        torch.nn.init.normal_(weight, 0, 0.2)
    said = {
        "network": "edsr",
        "blocks": 1,
        "width": width,
        "told": True,
        "scales": SCALES,
        "noise": [0],
        "precision": "float32",
    }
    modelfile.write(tmp_path / "m.safetensors", {"edsr": network.state_dict()}, said)
    model, image = load_model(tmp_path / "m.safetensors", CPU), np.random.default_rng(0).random((300, 310), np.float32)
    whole = enhance(model, image, 2, arrival=Told(2))
    for first in (0, 100, 460):
        place = slice(first, first + 130), slice(first, first + 140)
        assert np.array_equal(enhance_part(model, image, 2, *place, arrival=Told(2)), whole[place])


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("arrival", [None, Told(4, depends_on_signal=True, jpeg=80)])
def test_a_part_is_that_part_of_the_whole_to_the_last_bit(model, scale, arrival):
    image = (square(0, 3, 150) + np.random.default_rng(1).normal(0, 4, (150, 150))).clip(0, 255).astype(np.uint8)
    whole = enhance(model, image, scale, arrival=arrival)
    rows, columns = slice(31 * scale, 70 * scale + 1), slice(0, 55 * scale)
    assert np.array_equal(enhance_part(model, image, scale, rows, columns, arrival=arrival), whole[rows, columns])


def test_a_model_that_says_nothing_of_it_is_not_told(tmp_path):
    said = {"network": "edsr", "blocks": 1, "width": 4, "scales": SCALES, "noise": [0], "precision": "float32"}
    modelfile.write(tmp_path / "m.safetensors", {"edsr": EDSR(1, 4, SCALES).state_dict()}, said)
    assert not load_model(tmp_path / "m.safetensors", CPU).networks[2].told


def test_a_small_batch_has_no_crop_for_some_degradations():
    crops, corners = torch.rand(2, 1, 96, 96), torch.full((2, 2), 24)
    each = [Degradation(2, noise=float(level)) for level in range(4)]
    low, _, _ = pairs(
        crops, corners, patch=48, degradations=each, source=torch.Generator().manual_seed(0), post_upsampling=True, told=True
    )
    assert [image[1].mean().item() * NOISE for image in low] == pytest.approx([0, 1])


def test_maps_weigh_nothing_at_first():
    network = EDSR(1, 8, SCALES, told=True)
    start_from_bicubic(network, 0)
    assert not network.head.weight[:, 1:].any()
    assert network.head.weight[:, :1].std().item() == pytest.approx((2 / 9) ** 0.5, rel=0.3)


def test_ranges_are_told_crop_by_crop():
    ranges = Ranges(0.3, 1.2, 6.0, (1000.0, 20000.0), 0.7, (60, 95))
    source = torch.Generator().manual_seed(0)
    seen = {expected(ranges.drawn(2, lambda: torch.rand((), generator=source).item())) for _ in range(200)}
    assert Told() in seen
    assert {told.depends_on_signal for told in seen} == {False, True}
    assert max(told.jpeg for told in seen) <= 95
