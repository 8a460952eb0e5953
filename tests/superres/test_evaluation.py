"""Test images of several shapes and depths: restored, measured, kept and averaged, by hand and against scikit-image."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from cxr.compute import modelfile
from cxr.dataset.packed import Dataset, Frames
from cxr.foundation.errors import UserError
from cxr.sources.phantom.scene import draw
from cxr.superres.degradation.passage import field_for_image
from cxr.superres.duration import note
from cxr.superres.evaluation.archive import Archive
from cxr.superres.evaluation.mean_errors import MeanErrors, load
from cxr.superres.evaluation.observed import Restored, degraded
from cxr.superres.evaluation.restore import Restorers, Taken, inconsistency
from cxr.superres.methods import NAMES, NETWORKS
from cxr.superres.networks.edsr import EDSR
from cxr.superres.networks.srcnn import SRCNN
from cxr.superres.networks.vdsr import VDSR
from cxr.superres.settings import Degradation, Degrade
from tests.superres.test_degradation import resize

CPU = torch.device("cpu")
DEGRADE = Degrade((2, 3), (0.0, 5.0), 7)
SHAPES, BITS = [(48, 71), (70, 49), (50, 50), (48, 71), (49, 80)], [8, 10, 12, 16, 12]


def frames_of(images, bits) -> Frames:
    """Return arrays (H, W), each with its own bits, in one flat array."""
    frames = Frames.of([image.astype(np.uint16) for image in images])
    return Frames(frames.pixels, frames.begins, frames.shapes, np.array(bits))


def dataset(frames: Frames) -> Dataset:
    ids = [f"id{number}" for number in range(len(frames))]
    return Dataset(frames, pd.DataFrame({"id": ids, "findings": "NORMAL", "patient": ids, "split": "test"}))


@pytest.fixture(scope="module")
def data() -> Dataset:
    """Parts of phantoms, brought to their own number of levels with some noise, so that fine levels are in use."""
    source = np.random.default_rng(0)
    images = []
    for number, (shape, bits) in enumerate(zip(SHAPES, BITS, strict=True)):
        part = draw(0, number, 96).pixels[: shape[0], : shape[1]] + source.normal(0, 1, shape)
        images.append(np.clip(np.rint(part * ((1 << bits) - 1) / 255), 0, (1 << bits) - 1))
    return dataset(frames_of(images, BITS))


@pytest.fixture(scope="module")
def networks():
    """Networks that are nearly the identity, by name and scale."""
    source = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):  # the other layers are drawn, too, and not by what ran before
        torch.manual_seed(0)
        made = {("srcnn", scale): SRCNN() for scale in DEGRADE.scales} | {("vdsr", 0): VDSR()}
        made["edsr", 0] = EDSR(1, 8, DEGRADE.scales)
    lasts = [[*network.modules()][-1:] if name != "edsr" else network.tails.values() for (name, _), network in made.items()]
    for last in itertools.chain.from_iterable(lasts):
        torch.nn.init.normal_(last.weight, std=0.001, generator=source)
    return {**made, **{(name, scale): made[name, 0] for name in ("vdsr", "edsr") for scale in DEGRADE.scales}}


@pytest.fixture(scope="module")
def restorers(networks, tmp_path_factory) -> Restorers:
    folder = tmp_path_factory.mktemp("models")
    described = {"scales": list(DEGRADE.scales), "noise": list(DEGRADE.noise), "precision": "float32"}
    srcnn = {f"x{scale}": networks["srcnn", scale].state_dict() for scale in DEGRADE.scales}
    modelfile.write(folder / "srcnn.safetensors", srcnn, {"network": "srcnn", "mapping": 5, **described})
    modelfile.write(folder / "vdsr.safetensors", {"vdsr": networks["vdsr", 0].state_dict()}, {"network": "vdsr", **described})
    size = {"blocks": 1, "width": 8}
    weights = {"edsr": networks["edsr", 0].state_dict()}
    modelfile.write(folder / "edsr.safetensors", weights, {"network": "edsr", **size, **described})
    return Restorers(folder, DEGRADE.degradations, DEGRADE.seed, CPU)


@pytest.fixture(scope="module")
def evaluated(restorers, data, tmp_path_factory):
    """Return what was measured, and the folder in which what was restored is kept."""
    folder = tmp_path_factory.mktemp("restored")
    return restorers.evaluate(data, folder), folder


def halves_up(levels: np.ndarray, white: int) -> np.ndarray:
    return np.clip(np.floor(levels + 0.5 + 1e-3), 0, white)


def low_by_hand(image: np.ndarray, scale: int, white: int, noise: np.ndarray | float = 0) -> np.ndarray:
    """Return the low-resolution copy in grey levels, by NumPy in float64; the noise is in grey levels of 255."""
    low = resize(image, image.shape[0] // scale, image.shape[1] // scale)
    return halves_up(low + noise * (white / 255), white)


@pytest.fixture(scope="module")
def by_hand(data, networks):
    """Return (truth, low, levels, white) by (id, model, degradation)."""
    found = {}
    for (identity, image), degradation in itertools.product(
        zip(data.table["id"], data.images, strict=True), DEGRADE.degradations
    ):
        scale, white = degradation.scale, 2**image.bits - 1
        rows, columns = (length // scale * scale for length in image.pixels.shape)
        truth = image.pixels[:rows, :columns].astype(float)
        field = field_for_image(degradation, DEGRADE.seed, identity, rows // scale, columns // scale)
        noise = 0.0 if field is None else degradation.noise * field[0, 0].double().numpy()
        low = low_by_hand(truth, scale, white, noise)
        bicubic = np.clip(resize(low / white, rows, columns), 0, 1)
        seen = torch.from_numpy(bicubic.astype(np.float32))[None, None]
        with torch.no_grad():
            small = torch.from_numpy((low / white).astype(np.float32))[None, None]
            given = {"srcnn": (seen,), "vdsr": (seen,), "edsr": (small, seen)}
            made = {name: networks[name, scale](*each)[0, 0].double().numpy() for name, each in given.items()}
        for model, result in {"bicubic": bicubic, **made}.items():
            found[identity, model, degradation.name] = truth, low, halves_up(result * white, white), white
    return found


def test_psnr_and_ssim_are_scikit_images_on_each_images_own_range(evaluated, by_hand, data):
    table = evaluated[0].per_image
    assert len(table) == len(by_hand) == len(data.images) * 4 * 4
    assert dict(zip(table["image"], table["bits"], strict=True)) == dict(zip(data.table["id"], BITS, strict=True))
    for row in table.itertuples():
        truth, _, levels, white = by_hand[row.image, row.model, row.degradation]
        scale = int(row.degradation[1])
        inner = slice(scale, -scale), slice(scale, -scale)
        psnr = peak_signal_noise_ratio(truth[inner], levels[inner], data_range=white)
        ssim = structural_similarity(
            truth[inner], levels[inner], data_range=white, gaussian_weights=True, use_sample_covariance=False
        )
        assert (row.psnr, row.ssim) == pytest.approx((psnr, ssim), abs=2e-3), row


def test_the_table_of_costs_has_seconds_after_the_first_image_and_minutes_that_were_noted(networks, restorers, tmp_path):
    model = restorers.models["edsr"]
    note(tmp_path, "edsr", model.path, 754)
    alone = Restorers(model.path.parent, DEGRADE.degradations, DEGRADE.seed, CPU)
    alone.taken["edsr", 2] = [Taken(100, 1), Taken(2, 1_000_000), Taken(1, 1_000_000)]
    alone.taken["edsr", 3] = [Taken(3, 1_000_000)]
    rows = [line.split() for line in alone.cost_table(tmp_path).splitlines()[1:]]
    found = {(scale, name): (weights, seconds, trained) for scale, name, weights, _, seconds, trained in rows}
    layers = {name: each.numel() for name, each in networks["edsr", 0].named_parameters()}
    held = {
        scale: sum(
            count for name, count in layers.items() if not name.startswith("tails.") or name.startswith(f"tails.{scale}.")
        )
        for scale in ("x2", "x3")
    }
    assert found["x2", "edsr"] == (f"{held['x2']:,}", "1.50", "12.6")
    assert found["x3", "edsr"] == (f"{held['x3']:,}", "3.00", "12.6")
    assert found["x2", "srcnn"] == ("57,281", "0.00", "-")
    assert [line[:2] for line in rows] == [[f"x{scale}", name] for scale in DEGRADE.scales for name in NETWORKS]


def test_inconsistency_is_in_grey_levels_of_255(evaluated, by_hand):
    for row in evaluated[0].per_image.itertuples():
        _, low, levels, white = by_hand[row.image, row.model, row.degradation]
        again = low_by_hand(levels, int(row.degradation[1]), white)
        assert row.inconsistency == pytest.approx(np.sqrt(((again - low) ** 2).mean()) * 255 / white, abs=0.02)


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_an_image_brighter_by_a_level_of_its_own_is_inconsistent_by_its_share_of_255(bits):
    white = 2**bits - 1
    truth = torch.full((1, 1, 48, 60), white // 2, dtype=torch.uint8 if bits == 8 else torch.int32)
    off = inconsistency(truth + 16, truth[..., ::2, ::2], 2, white)
    assert off.item() == pytest.approx(16 * 255 / white, rel=1e-4)


def test_what_was_restored_is_kept_and_given_back(evaluated, restorers, data, by_hand):
    _, folder = evaluated
    archive = Archive.open(folder, data)
    for (row, identity), degradation in itertools.product(enumerate(data.table["id"]), DEGRADE.degradations):
        image, restored = data.images[row], restorers.restore(data.images[row], identity, degradation)
        again = archive.restored(image, identity, degradation, CPU)
        assert again.white == restored.white == 2**image.bits - 1
        for name in NAMES:
            assert torch.equal(again.images[name], restored.images[name])
            expected = by_hand[identity, name, degradation.name][2]
            assert np.abs(again.images[name][0, 0].numpy() - expected).max() <= 1  # where float32 rounds to the other side
        assert torch.equal(again.low, restored.low)
        assert torch.equal(again.truth, restored.truth)


def test_the_archive_is_as_large_and_as_deep_as_what_it_holds(evaluated, data):
    _, folder = evaluated
    for degradation, network in itertools.product(DEGRADE.degradations, NETWORKS):
        kept = np.load(folder / f"{network}_{degradation.name}.npy")
        rows, columns = (data.images.shapes // degradation.scale * degradation.scale).T
        assert (kept.shape, kept.dtype) == ((sum(rows * columns),), np.uint16)


def test_an_archive_of_other_shapes_or_depths_is_refused(evaluated, data):
    _, folder = evaluated
    shallow = Dataset(Frames.of([np.zeros(shape, np.uint8) for shape in SHAPES]), data.table)
    other = dataset(frames_of([np.zeros((60, 60)) for _ in SHAPES], BITS))
    for wrong in (shallow, other):
        with pytest.raises(UserError, match="does not hold what it should"):
            Archive.open(folder, wrong)


def areas(error: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Return the means of `error` over areas, one for each pixel of a grid, a pixel that is in two areas counting in both."""
    height, width = error.shape
    down = [slice(i * height // rows, -(-(i + 1) * height // rows)) for i in range(rows)]
    across = [slice(i * width // columns, -(-(i + 1) * width // columns)) for i in range(columns)]
    return np.array([[error[y, x].mean() for x in across] for y in down])


def test_mean_errors_of_mixed_frames_are_means_over_areas_on_the_median_grid(evaluated, by_hand, tmp_path):
    evaluated[0].errors.save(tmp_path / "errors.npz")
    maps = load(tmp_path / "errors.npz", DEGRADE.degradations)
    rows, columns = (int(np.median(lengths)) for lengths in zip(*SHAPES, strict=True))
    for degradation, model in itertools.product(DEGRADE.degradations, NAMES):
        grid = rows // degradation.scale * degradation.scale, columns // degradation.scale * degradation.scale
        each = [of for (_, name, kind), of in by_hand.items() if (name, kind) == (model, degradation.name)]
        expected = np.mean([areas(np.abs(found - truth) * 255 / white, *grid) for truth, _, found, white in each], axis=0)
        found = maps[degradation][model]
        assert found.shape == grid
        np.testing.assert_allclose(found, expected, atol=0.5)  # a level of 8 bits may round to the other side
        assert np.abs(found - expected).mean() < 2e-3


def restored_with(error: np.ndarray, white: int = 255) -> Restored:
    """Return an image off by `error` (H, W), grey levels, at every method."""
    truth = torch.full((1, 1, *error.shape), 100, dtype=torch.uint8 if white == 255 else torch.int32)
    made = truth + torch.from_numpy(error)[None, None].to(truth.dtype)
    return Restored(truth, truth[..., ::2, ::2], dict.fromkeys(NAMES, made), white)


def mean_of(errors: list[np.ndarray], whites: list[int]) -> np.ndarray:
    means = MeanErrors(np.array([error.shape for error in errors]))
    for error, white in zip(errors, whites, strict=True):
        means.add(restored_with(error, white), Degradation(2))
    assert means.maps.keys() == {f"{name}_x2" for name in NAMES}
    return means.maps["vdsr_x2"]


def test_the_mean_error_of_equal_frames_is_the_mean():
    errors = [np.random.default_rng(seed).integers(0, 100, (20, 34)) for seed in range(5)]
    np.testing.assert_allclose(mean_of(errors, [255] * 5), np.mean(errors, axis=0), rtol=1e-6)


def test_a_wider_frame_counts_with_its_areas_and_a_narrower_one_as_often_as_it_must():
    wide, middle, narrow = (np.random.default_rng(n).integers(0, 100, (20, 24 * n)) for n in (4, 2, 1))
    expected = wide.reshape(20, 48, 2).mean(axis=2) + middle + narrow.repeat(2, axis=1)
    np.testing.assert_allclose(mean_of([wide, middle, narrow], [255] * 3), expected / 3, rtol=1e-5)


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_errors_are_in_grey_levels_of_255(bits):
    white = 2**bits - 1
    error = np.random.default_rng(0).integers(0, 100, (20, 34))
    found = restored_with(error, white).error("vdsr")
    assert (found.dtype, found.shape) == (torch.float32, (20, 34))
    np.testing.assert_allclose(found, error * 255 / white, rtol=1e-6)
    np.testing.assert_allclose(mean_of([error], [white]), error * 255 / white, rtol=1e-6)
    shown = restored_with(error, white).in_8_bits(torch.arange(white + 1))
    assert (shown[0], shown[-1], len(shown.unique())) == (0, 255, 256)


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_noise_is_as_strong_whatever_the_depth(bits):
    """Noise of 5 grey levels of 255 is 5/255 of white."""
    white = 2**bits - 1
    image = frames_of([np.full((200, 300), white // 2)], [bits])[0]
    seen = degraded(image, "a", Degradation(2, 5.0), DEGRADE.seed, CPU)
    assert seen.low.std().item() * 255 == pytest.approx(5, rel=0.02)
