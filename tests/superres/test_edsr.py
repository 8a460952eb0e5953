"""EDSR: its layers, its start, its crops, its tiles; what all networks share is tested with the others."""

from functools import partial
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.signal import correlate2d
from torch import nn

from cxr.compute import modelfile
from cxr.compute.ranks import Rank
from cxr.dataset.packed import Dataset, Frames
from cxr.formats.dicom.display import Display
from cxr.foundation.errors import UserError
from cxr.foundation.randomness import generator
from cxr.superres.degradation.enlargement import enlarge
from cxr.superres.degradation.reduction import crop_to_multiple, low_resolution
from cxr.superres.enhance import enhance, enhance_part, enhance_stored, enhance_stored_part, restore, seen_by
from cxr.superres.kernels.forms import AS_PUBLISHED, Published
from cxr.superres.model import Model, load_model
from cxr.superres.network import is_post_upsampling, laid_out
from cxr.superres.networks.edsr import EDSR, as_multiplied, start_from_bicubic
from cxr.superres.networks.vdsr import VDSR
from cxr.superres.settings import Degradation, Ranges
from cxr.superres.tiles import tiled
from cxr.superres.training.crops import MARGIN, Crops, pairs, squares
from cxr.superres.training.losses import Losses
from cxr.superres.training.settings import Augment
from cxr.superres.training.turns import Turns
from tests.superres.test_trainer import data, trainer  # noqa: F401
from tests.support.phantoms import square

CPU = torch.device("cpu")
SCALES = (2, 3, 4)
ALL = [Degradation(scale) for scale in SCALES]


def busy(blocks: int = 2, width: int = 8, scales: tuple[int, ...] = SCALES) -> EDSR:
    """Return a network whose layers all have a say."""
    network, source = EDSR(blocks, width, scales), torch.Generator().manual_seed(3)
    start_from_bicubic(network, seed=0)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.bias, std=0.05, generator=source)
    for tail in network.tails.values():
        nn.init.normal_(tail.weight, std=0.01, generator=source)
    return network


def given(scale: int, size: tuple[int, int] = (9, 7), images: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    low = torch.rand(images, 1, *size, generator=torch.Generator().manual_seed(1))
    return low, enlarge(low, scale)


def loaded(path: Path, width: int, precision: str = "float32") -> Model:
    described = {"network": "edsr", "blocks": 2, "width": width, "scales": SCALES, "noise": [0], "precision": precision}
    modelfile.write(path, {"edsr": busy(2, width).state_dict()}, described)
    return load_model(path, CPU)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Model:
    return loaded(tmp_path_factory.mktemp("edsr") / "edsr.safetensors", 8)


@pytest.fixture(scope="module")
def wide(tmp_path_factory) -> Model:
    return loaded(tmp_path_factory.mktemp("wide") / "edsr.safetensors", 64)


def test_it_has_as_many_weights_as_its_layers():
    counted = {name: sum(p.numel() for p in part.parameters()) for name, part in EDSR().named_children()}
    layer = 64 * 64 * 9 + 64
    assert counted == {"head": 64 * 9 + 64, "blocks": 16 * layer, "last": layer, "tails": (4 + 9 + 16) * (64 * 9 + 1)}
    assert sum(counted.values()) == 645_149


def test_of_the_papers_size_its_body_has_the_papers_layers():
    network = EDSR(16, 64)  # the baseline of table 1: 16 blocks of 64
    assert len(network.blocks) == 16
    assert [(c.in_channels, c.out_channels, c.kernel_size) for c in network.blocks.modules() if isinstance(c, nn.Conv2d)] == [
        (64, 64, (3, 3))
    ] * 32
    assert not [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]  # section 3.1


@pytest.mark.parametrize("scale", SCALES)
def test_it_adds_to_the_bicubic_image_what_scipy_computes(scale):
    network = busy()
    low, bicubic = given(scale)

    def convolved(maps: np.ndarray, layer: nn.Conv2d) -> np.ndarray:
        weight, bias = layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()
        padded = np.pad(maps, ((0, 0), (1, 1), (1, 1)))
        sums = [sum(correlate2d(one, w, mode="valid") for one, w in zip(padded, of, strict=True)) for of in weight]
        return np.stack(sums) + bias[:, None, None]

    first = maps = convolved(low[0].double().numpy(), network.head)
    for block in network.blocks:
        maps = maps + convolved(np.maximum(convolved(maps, block.first), 0), block.second)
    channels = convolved(first + convolved(maps, network.last), network.tails[f"x{scale}"])
    expected = bicubic[0, 0].double().numpy()
    for (row, column), channel in zip(product(range(scale), repeat=2), channels, strict=True):
        expected[row::scale, column::scale] += channel
    found = Published(network, torch.float32)(low, bicubic)[0, 0].detach()
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("scale", SCALES)
def test_an_untrained_network_returns_the_bicubic_image(scale):
    network = EDSR()
    start_from_bicubic(network, seed=1)
    low, bicubic = given(scale, images=2)
    assert torch.equal(network(low, bicubic), bicubic)


def test_it_starts_as_he_proposed_but_for_the_last_layers_and_the_second_ones_of_blocks():
    network = EDSR()
    start_from_bicubic(network, seed=1)
    std = (2 / (9 * 64)) ** 0.5
    for block in network.blocks:
        assert block.first.weight.std().item() == pytest.approx(std, rel=0.05)
        assert block.second.weight.std().item() == pytest.approx(std / 10, rel=0.05)
    assert not any(tail.weight.any() for tail in network.tails.values())
    again, other = EDSR(), EDSR()
    start_from_bicubic(again, seed=1)
    start_from_bicubic(other, seed=2)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))
    assert not torch.equal(network.head.weight, other.head.weight)


def test_every_layer_learns_from_the_start():
    network = EDSR(2, 8)
    start_from_bicubic(network, seed=1)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(2):  # behind a last layer of zeros the others have no gradient in the very first step
        optimizer.zero_grad()
        for scale in SCALES:
            low, bicubic = given(scale)
            (network(low, bicubic) - bicubic.square()).square().mean().backward()
        optimizer.step()
    assert all(layer.weight.grad.abs().sum() > 0 for layer in network.modules() if isinstance(layer, nn.Conv2d))


@pytest.mark.parametrize("blocks", [1, 3])
def test_the_halo_is_as_far_as_an_output_pixel_sees(blocks):
    network = EDSR(blocks, 4)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):  # positive, so that ReLU hides no path
            nn.init.constant_(layer.weight, 0.1)
            nn.init.zeros_(layer.bias)
    size = 2 * network.halo + 5
    low = torch.ones(1, 1, size, size, requires_grad=True)
    network(low, torch.zeros(1, 1, 2 * size, 2 * size))[0, 0, size - 1, size - 1].backward()
    seen = low.grad[0, 0].nonzero() - (size - 1) // 2
    assert seen.abs().max().item() == network.halo


def test_gradients_are_finite_differences():
    network = busy().double()
    low, bicubic = (each.double() for each in given(3))
    source = torch.Generator().manual_seed(1)
    way = torch.rand(bicubic.shape, dtype=torch.float64, generator=source)
    (network(low.requires_grad_(), bicubic) * way).sum().backward()
    used = [parameter for name, parameter in network.named_parameters() if not name.startswith(("tails.x2", "tails.x4"))]
    for tensor in [low, *used]:
        step, sums = torch.randn(tensor.shape, dtype=torch.float64, generator=source), []
        with torch.no_grad():
            for sign in (1, -1):
                tensor.add_(step, alpha=sign * 1e-7)
                sums.append((network(low, bicubic) * way).sum().item())
                tensor.sub_(step, alpha=sign * 1e-7)
        assert (tensor.grad * step).sum().item() == pytest.approx((sums[0] - sums[1]) / 2e-7, rel=1e-4, abs=1e-6)


def test_it_loses_nothing_visible_in_bfloat16_and_nothing_by_keeping_what_is_multiplied():
    network = busy(8, 64)
    low, bicubic = given(2, (40, 40))
    with torch.no_grad():
        exact, rough = network(low, bicubic), Published(network, torch.bfloat16)(low, bicubic)
        assert (exact - bicubic).abs().max() > 5 / 255  # there is a residual to lose
        assert (rough - exact).square().mean().sqrt() < 0.02 * (exact - bicubic).square().mean().sqrt()
        network.load_state_dict(as_multiplied(network.state_dict(), torch.bfloat16))
        assert torch.equal(Published(network, torch.bfloat16)(low, bicubic), rough)
        assert (network(low, bicubic) - rough).square().mean() < (exact - rough).square().mean()


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("tile", [(32, 32), (17, 64)])
def test_tiles_give_the_whole_image_bit_for_bit(scale, tile):
    network = laid_out(busy(4, 64), CPU)
    low, bicubic = given(scale, (71, 90), images=2)
    told = []
    found = tiled(network, network.halo, low, tile, told.append, bicubic)
    assert torch.equal(found, network(low, bicubic).clamp(0, 1))
    assert sum(told) == 71 * 90 * scale**2


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_part_from_anywhere_is_that_part_of_the_whole_bit_for_bit(model, scale, dtype):
    source = np.random.default_rng(0)
    image = (source.random((61, 47)) * (1 if dtype == np.float32 else np.iinfo(dtype).max)).astype(dtype)
    whole = enhance(model, image, scale)
    rows, columns = whole.shape
    spans = [(0, 16), (5, 6), (rows - 9, rows), (rows // 3, rows // 2 + 1)]
    across = [(0, 16), (5, 6), (columns - 9, columns), (columns // 3, columns // 2 + 1)]
    for first, second in [*product(spans, across), (slice(None), slice(-20, None)), (slice(7, 7), (0, 4))]:
        found = enhance_part(model, image, scale, first, second)
        cut = [each if isinstance(each, slice) else slice(*each) for each in (first, second)]
        assert found.dtype == dtype
        assert np.array_equal(found, whole[cut[0], cut[1]]), (first, second)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("size", [(61, 47), (76, 9), (3, 700), (1, 1100), (520, 2), (12, 13)])
def test_a_corner_and_a_thin_image_get_the_sums_of_a_large_one(wide, scale, size):
    image = np.random.default_rng(0).random(size, dtype=np.float32)
    whole = enhance(wide, image, scale)
    for first, second in product((slice(0, 8), slice(-8, None)), repeat=2):
        assert np.array_equal(enhance_part(wide, image, scale, first, second), whole[first, second])
    middle = tuple(slice(length // 2, length // 2 + 8) for length in whole.shape)
    assert np.array_equal(enhance_part(wide, image, scale, *middle), whole[middle])


@pytest.mark.parametrize("width", [2, 8, 16, 20, 24, 32, 64])
@pytest.mark.parametrize("size", [(150, 160), (520, 540)])
def test_parts_of_a_large_image_are_those_of_the_whole_at_every_width(tmp_path, width, size):
    """torch takes the first layer of images up to 20,480 pixels, and further ones up to that by their maps, another way."""
    enlarging = loaded(tmp_path / "edsr.safetensors", width)
    image = np.random.default_rng(0).random(size, dtype=np.float32)
    whole = enhance(enlarging, image, 2)
    for side, first, second in product((8, 64), (0, 77, None), (0, 161, None)):
        place = tuple(slice(-side, None) if begin is None else slice(begin, begin + side) for begin in (first, second))
        assert np.array_equal(enhance_part(enlarging, image, 2, *place), whole[place])


@pytest.mark.parametrize("size", [(1, 520), (2, 1030), (513, 1)])
def test_tiles_of_a_thin_image_give_the_whole_bit_for_bit(wide, size):
    low, bicubic = given(2, size)
    network = wide.networks[2]
    whole = tiled(network, network.halo, low, (2000, 2000), bicubic=bicubic)
    assert torch.equal(tiled(network, network.halo, low, bicubic=bicubic), whole)
    with torch.no_grad():
        torch.testing.assert_close(whole, network(low, bicubic).clamp(0, 1), atol=1e-6, rtol=0)


@pytest.mark.parametrize("scale", SCALES)
def test_a_part_of_stored_values_is_that_part_of_the_whole_bit_for_bit(model, scale):
    """As a viewer asks for it, of a radiograph that is shown through a window, or through a curve."""
    curves = np.linspace(-0.2, 1.2, 4096).clip(0, 1), 1 / (1 + np.exp((np.arange(4096) - 2000) / 400))
    stored = np.random.default_rng(0).integers(-100, 3900, (70, 90)).astype(np.float32)
    for curve in curves:
        display = Display(-100, curve)
        whole = enhance_stored(model, stored, scale, display)
        for rows, columns in (((0, 40), (0, 30)), ((41, 100), (50, 111)), ((60 * scale, 70 * scale), (80 * scale, 90 * scale))):
            found = enhance_stored_part(model, stored, scale, display, rows, columns)
            np.testing.assert_array_equal(found, whole[slice(*rows), slice(*columns)])


@pytest.mark.parametrize("scale", SCALES)
def test_what_is_seen_around_a_part_is_told(model, scale):
    image = np.random.default_rng(0).random((200, 300), dtype=np.float32)
    around = seen_by(model, scale)
    place = slice(100 * scale, 101 * scale)
    found = enhance_part(model, image, scale, place, place)
    cut = slice(100 - around, 101 + around)
    alone = enhance_part(model, image[cut, cut].copy(), scale, *(slice(around * scale, (around + 1) * scale),) * 2)
    np.testing.assert_array_equal(alone, found)


def test_a_part_that_a_refining_network_makes_is_that_of_the_whole():
    refining = load_model("srcnn", CPU)
    image = np.random.default_rng(0).integers(0, 4096, (40, 50), dtype=np.uint16)
    found = enhance_part(refining, image, 3, (31, 80), (0, 99), bits=12)
    assert abs(found.astype(int) - enhance(refining, image, 3, bits=12)[31:80, 0:99]).max() <= 1


def test_a_part_computes_no_more_than_it_needs(model, monkeypatch):
    sizes = []
    network = model.running[2]
    monkeypatch.setattr(
        network, "forward", lambda *images, go=network.forward: sizes.append(images[0].shape[-2:]) or go(*images)
    )
    enhance_part(model, np.zeros((500, 600), np.uint8), 2, (100, 164), (300, 364))
    halo = model.networks[2].halo
    assert sizes == [(32 + 2 * halo, 32 + 2 * halo)]


def test_what_lies_beyond_black_or_white_counts_as_that(model):
    image = np.random.default_rng(0).uniform(-0.5, 1.5, (30, 40)).astype(np.float32)
    expected = enhance(model, image.clip(0, 1), 2)
    assert np.array_equal(enhance(model, image, 2), expected)
    assert np.array_equal(enhance_part(model, image, 2, (10, 30), (4, 70)), expected[10:30, 4:70])


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (2, 5, 5), (5,)])
def test_what_is_no_grey_image_is_refused(model, shape):
    for work in (partial(enhance, model), partial(enhance_part, model, scale=2, rows=(0, 1), columns=(0, 1))):
        with pytest.raises(ValueError, match="is no grey image"):
            work(np.zeros(shape, np.uint8))


@pytest.mark.parametrize(
    ("scale", "reason"),
    [
        (5, "this edsr was trained for x2, x3, x4, not for x5"),
        (2.0, "the scale is 2.0, no whole number; name x2, x3, x4"),
        ("2", "the scale is '2', no whole number"),
    ],
)
def test_a_scale_that_was_not_trained_is_refused_in_one_line(model, scale, reason):
    image = np.zeros((9, 9), np.uint8)
    for work in (partial(enhance, model, image, scale), partial(enhance_part, model, image, scale, (0, 1), (0, 1))):
        with pytest.raises(UserError, match=reason):
            work()
    assert enhance(model, image, np.int64(2)).shape == (18, 18)


def test_values_beyond_white_are_looked_for_in_what_a_part_reads(model):
    image = np.zeros((300, 300), np.uint16)
    image[0, 0] = 4096
    assert not enhance_part(model, image, 2, (500, 510), (500, 510), bits=12).all()
    for work in (partial(enhance, model, image), partial(enhance_part, model, image, 2, (0, 9), (0, 9))):
        with pytest.raises(UserError, match="values up to 4,096 exceed 4,095"):
            work(bits=12)


def test_parts_that_leave_pixels_out_are_refused(model):
    with pytest.raises(ValueError, match="has a step"):
        enhance_part(model, np.zeros((9, 9), np.uint8), 2, slice(0, 8, 2), (0, 4))


def images(count: int = 3, side: int = 120) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, side, side), dtype=np.uint8)


@pytest.mark.parametrize("scale", SCALES)
def test_crops_at_low_resolution_are_those_of_the_degraded_image(scale):
    patch, stacked = 24, images()
    crops = Crops(Frames.of(stacked), np.arange(3), Augment(True, 0.6, 0, 0), patch, 5, 0, CPU, post_upsampling=True)
    lows, bicubics, truths = crops.observed(SCALES.index(scale), ALL)
    assert lows.shape == (5, 1, patch // scale, patch // scale)
    whole = low_resolution(torch.from_numpy(stacked)[:, None].float() / 255, scale)
    larger = enlarge(whole, scale)
    known = {}
    for row, top, left, turn, mirrored in product(range(3), range(0, 97, 12), range(0, 97, 12), range(4), (False, True)):
        place = (row, 0, slice(top, top + patch), slice(left, left + patch))
        small = (row, 0, slice(top // scale, (top + patch) // scale), slice(left // scale, (left + patch) // scale))
        turned = [each.rot90(turn) for each in (torch.from_numpy(stacked)[:, None][place], whole[small], larger[place])]
        turned = [each.fliplr() for each in turned] if mirrored else turned
        known[turned[0].contiguous().numpy().tobytes()] = turned[1:]
    for low, bicubic, truth in zip(lows, bicubics, truths, strict=True):
        expected = known[(truth[0] * 255).round().byte().contiguous().numpy().tobytes()]
        torch.testing.assert_close(low[0], expected[0], rtol=0, atol=1e-6)
        torch.testing.assert_close(bicubic[0], expected[1], rtol=0, atol=2e-6)


@pytest.mark.parametrize("ranges", [None, Ranges(0.3, 1.2, 6.0, (1000.0, 20000.0), 0.7, (60, 95))], ids=["clean", "varied"])
@pytest.mark.parametrize("told", [False, True], ids=["blind", "told"])
def test_ranks_see_their_shares_of_the_crops_that_one_would_see(ranges, told):
    common = Frames.of(images()), np.arange(3), Augment(True, 0.6, 5.0, 0.5), 24, 6, 0, CPU
    kinds = [*ALL, Degradation(3, 5.0)]
    options = {"post_upsampling": True, "ranges": ranges, "told": told}
    alone, *shares = (Crops(*common, rank, **options) for rank in (Rank(0, 1), Rank(0, 2), Rank(1, 2)))
    for step in range(6):
        parts = zip(*(share.observed(step, kinds) for share in shares), strict=True)
        for part, whole in zip(parts, alone.observed(step, kinds), strict=True):
            torch.testing.assert_close(torch.cat(part), whole, rtol=0, atol=2e-6)


def test_noise_is_in_the_low_resolution_image_and_in_what_is_made_of_it():
    crops = torch.full((2, 1, 24 + 2 * MARGIN, 24 + 2 * MARGIN), 0.5)
    corners = torch.full((2, 2), MARGIN)
    kinds = [Degradation(2), Degradation(2, 5.0)]
    low, bicubic, truth = pairs(crops, corners, patch=24, degradations=kinds, source=generator(0), post_upsampling=True)
    assert low[0].std() == 0
    assert low[1].std().item() * 255 == pytest.approx(5, rel=0.2)
    inner = (..., slice(4, -4), slice(4, -4))
    torch.testing.assert_close(bicubic[inner], enlarge(low, 2)[inner])  # whose edges see no further than the crop
    assert torch.equal(truth, squares(crops, corners, 24))


def test_a_step_is_for_one_scale_and_each_noise_at_it_gets_its_share():
    kinds = [Degradation(2), Degradation(2, 5.0), Degradation(3), Degradation(3, 5.0)]
    turns = Turns(kinds, 3, a_scale_a_step=True)
    assert [turns.at(step).numbers for step in range(4)] == [[0, 1], [2, 3], [0, 1], [2, 3]]
    assert [turns.at(step).first for step in range(6)] == [0, 0, 1, 1, 0, 0]
    losses = Losses(turns, CPU)
    for step in range(4):
        losses.add(torch.tensor([1.0, 2.0, 3.0]) * 10**step, step, Rank(0, 1))
    assert losses.crops == [3, 3, 3, 3]
    assert losses.means() == pytest.approx(
        [(1 + 3 + 200) / 3, (2 + 100 + 300) / 3, (10 + 30 + 2000) / 3, (20 + 1000 + 3000) / 3]
    )


def test_a_patch_that_no_scale_divides_is_refused_in_one_line(data: Dataset, tmp_path: Path):  # noqa: F811
    with pytest.raises(UserError, match="a patch of 26 is no multiple of the scale 3; set a multiple of 12"):
        trainer(data, tmp_path, patch=26).fit("edsr", EDSR(1, 4), ALL, forms=AS_PUBLISHED)


def test_only_edsr_works_at_low_resolution():
    assert is_post_upsampling(EDSR(1, 4))
    assert not is_post_upsampling(VDSR())
    assert not is_post_upsampling(nn.Conv2d(1, 1, 3))


@pytest.mark.parametrize("scale", SCALES)
def test_a_part_that_vdsr_makes_in_bfloat16_is_that_of_the_whole_within_a_quarter_of_a_grey_level(scale, monkeypatch):
    monkeypatch.setattr("cxr.superres.model.choose_precision", lambda *_: torch.bfloat16)
    refining = load_model("vdsr", CPU)
    assert refining.precision == torch.bfloat16
    image = np.rint(gaussian_filter(square(0, 0, 96).astype(float), 1) * 257).astype(np.uint16)
    whole = enhance(refining, image, scale).astype(int)
    side = 96 * scale
    for first, second in product(((0, 30), (97, 143), (side - 9, side)), ((0, 40), (77, 121), (side - 31, side))):
        found = enhance_part(refining, image, scale, first, second)
        assert abs(found - whole[slice(*first), slice(*second)]).max() <= 64


@pytest.mark.parametrize("trained", ["float32", "bfloat16"])
def test_edsr_multiplies_in_bfloat16_where_that_is_fast_and_it_was_trained_so(tmp_path, monkeypatch, trained):
    wished = []
    monkeypatch.setattr("cxr.superres.model.choose_precision", lambda wish, _: wished.append(wish) or torch.bfloat16)
    model = loaded(tmp_path / "edsr.safetensors", 64, trained)
    assert model.precision == getattr(torch, trained)
    assert wished == (["auto"] if trained == "bfloat16" else [])  # which in hardware without it is float32
    low, bicubic = given(2, (40, 40))
    found = restore(model, low, 2, bicubic=bicubic)
    with torch.no_grad():
        exact = model.networks[2](low, bicubic).clamp(0, 1)
    assert torch.equal(found, exact) == (trained == "float32")
    torch.testing.assert_close(found, exact, rtol=0, atol=0.01)


@pytest.mark.parametrize("scale", SCALES)
def test_bicubic_interpolation_of_a_part_is_that_of_the_whole_bit_for_bit(scale):
    whole = torch.rand(1, 1, 300, 200, generator=torch.Generator().manual_seed(0))
    larger = enlarge(whole, scale)
    for (top, bottom), (left, right) in product(pairwise([0, 7, 200, 300]), pairwise([0, 90, 91, 200])):
        above, before = max(top - 2, 0), max(left - 2, 0)
        part = enlarge(whole[..., above : bottom + 2, before : right + 2], scale)
        inner = part[..., (top - above) * scale :, (left - before) * scale :]
        expected = larger[..., top * scale : bottom * scale, left * scale : right * scale]
        assert torch.equal(inner[..., : expected.shape[-2], : expected.shape[-1]], expected)
    double = whole.double()
    torch.testing.assert_close(enlarge(double, scale), enlarge(whole, scale), rtol=0, atol=1e-6)
    reference = torch.nn.functional.interpolate(double, scale_factor=scale, mode="bicubic", antialias=True).clamp(0, 1).float()
    torch.testing.assert_close(enlarge(double, scale), reference, rtol=0, atol=1e-6)
    assert crop_to_multiple(larger, scale).shape == larger.shape


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"width": 4096}, r"description\.width is 4096"),
        ({"blocks": 0}, r"description\.blocks is 0"),
        ({"blocks": "2"}, r"description\.blocks is '2'"),
        ({"scales": [2]}, r"lacks weights edsr that fit"),
        ({"width": 16}, r"lacks weights edsr that fit"),
    ],
)
def test_a_file_that_does_not_say_what_its_weights_are_is_refused_in_one_line(tmp_path, changes, reason):
    described = {"network": "edsr", "blocks": 2, "width": 8, "scales": SCALES, "noise": [0], "precision": "float32"}
    modelfile.write(tmp_path / "m.safetensors", {"edsr": busy().state_dict()}, {**described, **changes})
    with pytest.raises(UserError, match=reason) as caught:
        load_model(tmp_path / "m.safetensors", CPU)
    assert "\n" not in str(caught.value)
