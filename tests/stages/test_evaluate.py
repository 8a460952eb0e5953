"""The stages evaluate and errormaps on a finished tiny run, against scikit-image and SciPy."""

import itertools
import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from skimage.io import imread
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from cxr.compute import modelfile
from cxr.dataset.packed import Dataset, Frame, Frames
from cxr.foundation.errors import UserError
from cxr.superres.degradation.enlargement import enlarge
from cxr.superres.degradation.passage import field_for_image
from cxr.superres.degradation.reduction import low_resolution
from cxr.superres.evaluation import restore, second
from cxr.superres.evaluation.archive import Archive
from cxr.superres.evaluation.observed import degraded
from cxr.superres.evaluation.restore import Restorers, inconsistency
from cxr.superres.methods import NETWORKS
from cxr.superres.networks.edsr import EDSR
from cxr.superres.networks.srcnn import SRCNN
from cxr.superres.networks.vdsr import VDSR
from cxr.superres.settings import Degradation, Degrade
from stages import check, errormaps, evaluate, train_edsr, train_srcnn, train_vdsr
from tests.support.observed import observe
from tests.support.phantoms import square
from tests.support.tiny import TINY, write_params

SCALES = (2, 3, 4)


def networks(workspace):
    srcnn, _ = modelfile.read(workspace / "models/srcnn.safetensors")
    vdsr, _ = modelfile.read(workspace / "models/vdsr.safetensors")
    edsr, _ = modelfile.read(workspace / "models/edsr.safetensors")
    shared, low = VDSR(), EDSR()
    shared.load_state_dict(vdsr["vdsr"])
    low.load_state_dict(edsr["edsr"])
    loaded = {}
    for scale in SCALES:
        loaded["srcnn", scale] = SRCNN()
        loaded["srcnn", scale].load_state_dict(srcnn[f"x{scale}"])
        loaded["vdsr", scale] = shared
        loaded["edsr", scale] = low
        loaded["bicubic", scale] = torch.nn.Identity()
    for network in loaded.values():
        torch.nn.utils.convert_conv2d_weight_memory_format(network, torch.channels_last)  # other layouts round otherwise
    return loaded


def truths(workspace):
    """Return the test images by id, read from the tables by hand."""
    pixels = np.load(workspace / "data/pixels.npy")
    table = pd.read_csv(workspace / "data/images.csv", dtype={"id": str})
    parts = pd.read_csv(workspace / "data/split.csv", dtype=str).set_index("id")["split"]
    return {
        row.id: pixels[row.begin : row.begin + row.rows * row.columns].reshape(row.rows, row.columns)
        for row in table.itertuples()
        if parts[row.id] == "test"
    }


def all_to_test(images):
    """Return a data set of these images by id, all to test."""
    return Dataset(Frames.of(list(images.values())), pd.DataFrame({"id": list(images), "split": "test"}))


def cropped_to(truth, scale):
    """Return `truth` without the last rows and columns that are no multiple of `scale`."""
    rows, columns = truth.shape
    return truth[: rows // scale * scale, : columns // scale * scale]


def brought_to(error, rows, columns):
    """Return the means of `error` over areas, one for each pixel of a grid, a pixel that is in two areas counting in both."""
    height, width = error.shape
    down = [slice(i * height // rows, -(-(i + 1) * height // rows)) for i in range(rows)]
    across = [slice(i * width // columns, -(-(i + 1) * width // columns)) for i in range(columns)]
    return np.array([[error[y, x].mean() for x in across] for y in down])


@pytest.fixture(scope="module")
def by_hand(finished):
    """Return PSNR, SSIM and mean |error| by (image, model, scale), restored here and measured by scikit-image."""
    measured, errors = {}, {}
    for (model, scale), network in networks(finished).items():
        for image, truth in truths(finished).items():
            cropped = cropped_to(truth, scale)
            with torch.no_grad():
                levels_in = torch.from_numpy(cropped.copy())[None, None].float() / 255
                given = [low_resolution(levels_in, scale), observe(levels_in, scale)]
                out = network(*given if model == "edsr" else given[1:])[0, 0].numpy()
            levels = np.clip(np.floor(out * 255 + 0.5 + 1e-3), 0, 255).astype(np.uint8)
            inner = (slice(scale, -scale), slice(scale, -scale))
            measured[image, model, f"x{scale}"] = (
                peak_signal_noise_ratio(cropped[inner], levels[inner], data_range=255),
                structural_similarity(
                    cropped[inner], levels[inner], data_range=255, gaussian_weights=True, use_sample_covariance=False
                ),
            )
            errors.setdefault(f"{model}_x{scale}", []).append(np.abs(levels.astype(float) - cropped))
    grid = np.median([truth.shape for truth in truths(finished).values()], axis=0).astype(int)
    shapes = {name: grid // int(name[-1]) * int(name[-1]) for name in errors}
    return measured, {name: np.mean([brought_to(e, *shapes[name]) for e in each], axis=0) for name, each in errors.items()}


def test_every_test_image_is_measured_as_scikit_image_does(finished, by_hand):
    table = pd.read_csv(finished / "plots/per_image.csv", dtype={"image": str})
    got = {(row.image, row.model, row.degradation): (row.psnr, row.ssim) for row in table.itertuples()}
    assert got.keys() == by_hand[0].keys()
    for key, expected in by_hand[0].items():
        assert got[key] == pytest.approx(expected, abs=2e-4), key


def test_a_network_of_another_machine_is_said_in_a_line(workspace, monkeypatch, capsys):
    evaluate.run(workspace)
    assert "was trained with" not in capsys.readouterr().err
    monkeypatch.setattr(restore, "machine", lambda: {"threads": 99, "processor": "abacus"})
    evaluate.run(workspace)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert [line.split()[1] for line in lines] == ["srcnn", "vdsr", "edsr"]
    assert all("here, with 99 of abacus" in line for line in lines)


def test_every_twentieth_image_is_measured_again(workspace, monkeypatch):
    asked = []
    monkeypatch.setattr(second, "EVERY", 2)
    monkeypatch.setattr(second, "agree", lambda *given: asked.append(given[-1]))
    evaluate.run(workspace)
    tested = pd.read_csv(workspace / "data/restored/images.csv", dtype=str)["id"].tolist()
    assert list(dict.fromkeys(asked)) == tested[::2]
    assert len(asked) == 3 * len(tested[::2])  # at every scale


def test_inconsistency_sees_what_the_low_resolution_image_contradicts_and_nothing_else():
    truth = torch.full((1, 1, 48, 48), 120, dtype=torch.uint8)
    brighter = truth + 3
    stripes = truth.clone()
    stripes[..., ::2] += 20  # one pixel wide: half of them too bright by 20 is 10 levels in a low-resolution pixel
    board = truth.clone()
    board[..., ::2, ::2] += 40
    board[..., 1::2, 1::2] += 40
    board[..., ::2, 1::2] -= 40
    board[..., 1::2, ::2] -= 40  # averages out
    low = truth[..., ::2, ::2]
    assert inconsistency(truth, low, 2).tolist() == [0]
    assert inconsistency(brighter, truth[..., ::4, ::4], 4).tolist() == [3]
    assert inconsistency(stripes, low, 2).item() == pytest.approx(10, abs=0.5)
    assert inconsistency(board, low, 2).item() < 1


def test_the_statistics_are_those_of_the_table(finished):
    statistics = json.loads((finished / "metrics/statistics.json").read_text())
    table = pd.read_csv(finished / "plots/per_image.csv", dtype={"image": str, "patient": str})
    metrics = json.loads((finished / "metrics/evaluate.json").read_text())
    assert (statistics["images"], statistics["patients"]) == (table["image"].nunique(), table["patient"].nunique())
    means = pd.DataFrame(statistics["means"]).set_index(["group", "model", "degradation", "metric"])["mean"]
    for (group, model, scale, metric), mean in means.items():
        of_model = table[
            (table["model"] == model) & (table["degradation"] == scale) & ((group == "all") | (table["findings"] == group))
        ]
        assert mean == pytest.approx(of_model[metric].mean(), abs=6e-4)
        if group == "all" and metric != "inconsistency":
            assert mean == metrics[model][scale][metric]
    truth = torch.from_numpy(cropped_to(next(iter(truths(finished).values())), 2).copy())[None, None]
    first = table[
        (table["image"] == next(iter(truths(finished)))) & (table["model"] == "bicubic") & (table["degradation"] == "x2")
    ]
    low, again = (
        low_resolution(levels / 255, 2) * 255 for levels in (truth.float(), (observe(truth.float() / 255, 2) * 255).round())
    )
    assert first["inconsistency"].item() == pytest.approx((low - again).square().mean().sqrt().item(), abs=0.02)


def test_the_metrics_are_the_means_over_the_test_images(finished, by_hand):
    metrics = json.loads((finished / "metrics/evaluate.json").read_text())
    assert list(metrics) == ["bicubic", "srcnn", "vdsr", "edsr", "test_set"]
    for model in ("bicubic", "srcnn", "vdsr", "edsr"):
        for scale in ("x2", "x3", "x4"):
            psnr, ssim = np.mean([value for (_, m, s), value in by_hand[0].items() if (m, s) == (model, scale)], axis=0)
            assert metrics[model][scale] == {"psnr": pytest.approx(psnr, abs=6e-4), "ssim": pytest.approx(ssim, abs=6e-5)}


def test_the_charts_show_the_metrics(finished):
    metrics = json.loads((finished / "metrics/evaluate.json").read_text())
    for metric in ("psnr", "ssim"):
        rows = pd.read_csv(finished / f"plots/{metric}.csv")
        assert len(rows) == 4 * 3
        for row in rows.itertuples():
            assert getattr(row, metric) == metrics[row.model][row.degradation][metric]


def test_the_gains_are_what_each_network_adds_to_bicubic(finished, by_hand):
    rows = pd.read_csv(finished / "plots/gains.csv", dtype={"image": str})
    assert len(rows) == len(by_hand[0]) * 3 / 4
    for row in rows.itertuples():
        by_image = {model: by_hand[0][row.image, model, row.degradation][0] for model in ("bicubic", row.model)}
        assert row.gain == pytest.approx(by_image[row.model] - by_image["bicubic"], abs=4e-4)


def test_mean_error_maps_are_means_over_the_test_images(finished, by_hand):
    with np.load(finished / "data/mean_errors.npz") as maps:
        assert set(maps) == set(by_hand[1])
        for name, expected in by_hand[1].items():
            np.testing.assert_allclose(maps[name], expected, atol=0.5)  # a pixel or two may round to the other side
            assert np.abs(maps[name] - expected).mean() < 0.01


def test_what_the_networks_made_is_kept(finished, by_hand):
    identities = pd.read_csv(finished / "data/restored/images.csv", dtype=str)["id"].tolist()
    assert identities == list(truths(finished))
    assert len(list((finished / "data/restored").iterdir())) == 2 + 3 * 3
    for scale in SCALES:
        for model in ("srcnn", "vdsr", "edsr"):
            kept = np.load(finished / f"data/restored/{model}_x{scale}.npy")
            cropped = [cropped_to(truth, scale) for truth in truths(finished).values()]
            assert (kept.shape, kept.dtype) == ((sum(each.size for each in cropped),), np.uint8)
            each = np.split(kept, np.cumsum([truth.size for truth in cropped])[:-1])
            for levels, identity, truth in zip(each, identities, cropped, strict=True):
                inner = (slice(scale, -scale), slice(scale, -scale))
                found = peak_signal_noise_ratio(truth[inner], levels.reshape(truth.shape)[inner], data_range=255)
                assert found == pytest.approx(by_hand[0][identity, model, f"x{scale}"][0], abs=2e-4)


def test_what_is_looked_at_again_is_what_was_measured(finished):
    degrade = Degrade((2, 3, 4), (0.0,), 0)
    restorers = Restorers(finished / "models", degrade.degradations, 0, torch.device("cpu"))
    images = truths(finished)
    kept = Archive.open(finished / "data/restored", all_to_test(images))
    for (identity, image), degradation in itertools.product(images.items(), degrade.degradations):
        again = kept.restored(Frame(image), identity, degradation, torch.device("cpu"))
        restored = restorers.restore(Frame(image), identity, degradation)
        assert torch.equal(again.truth, restored.truth)
        assert torch.equal(again.low, restored.low)
        assert again.images.keys() == restored.images.keys()
        assert all(torch.equal(again.images[model], restored.images[model]) for model in restored.images)


def test_noise_is_looked_at_again_too(tmp_path):
    degrade = Degrade((2, 3), (0.0, 5.0), 1)
    images = {name: square(0, number, 50) for number, name in enumerate("ab")}
    made = {}
    with Archive.writer(tmp_path, all_to_test(images), degrade.degradations, degrade.seed) as writer:
        for (name, image), each in itertools.product(images.items(), degrade.degradations):
            seen = degraded(Frame(image), name, each, degrade.seed, torch.device("cpu"))
            networks = {network: (seen.truth + number).clamp(max=255) for number, network in enumerate(NETWORKS, 1)}
            made[name, each] = seen.restored(networks)
            writer.add(made[name, each], each)
    kept = Archive.open(tmp_path, all_to_test(images))
    for (name, each), restored in made.items():
        again = kept.restored(Frame(images[name]), name, each, torch.device("cpu"))
        assert torch.equal(again.low, restored.low)
        assert all(torch.equal(again.images[model], restored.images[model]) for model in restored.images)
    quiet, noisy = (made["a", Degradation(2, noise)].low.float() for noise in (0.0, 5.0))
    assert (noisy - quiet).std() == pytest.approx(5, rel=0.1)


def test_the_test_set_is_named_by_its_pixels(workspace):
    name = json.loads((workspace / "metrics/evaluate.json").read_text())["test_set"]
    images = np.load(workspace / "data/pixels.npy", mmap_mode="r+")
    parts = pd.read_csv(workspace / "data/split.csv", dtype=str)["split"]
    begin = pd.read_csv(workspace / "data/images.csv")["begin"]
    images[begin[parts == "train"].iloc[0] + 5] ^= 1
    evaluate.run(workspace)
    assert json.loads((workspace / "metrics/evaluate.json").read_text())["test_set"] == name
    images[begin[parts == "test"].iloc[0] + 5] ^= 1
    evaluate.run(workspace)
    other = json.loads((workspace / "metrics/evaluate.json").read_text())["test_set"]
    assert other != name
    assert json.loads((workspace / "metrics/statistics.json").read_text())["test_set"] == other


@pytest.mark.parametrize(
    "changes",
    [
        {"degrade": {"seed": 1}},
        {"evaluate": {"conditions": ["clean", "noise5"]}},
        {"evaluate": {"conditions": ["clean", "noise5"]}, "conditions": {"noise5": {"noise": 4}}},
    ],
)
def test_the_test_set_is_named_by_what_befalls_it_too(workspace, changes):
    names = []
    for each in ({}, changes):
        write_params(workspace, TINY, each)
        evaluate.run(workspace)
        names.append(json.loads((workspace / "metrics/evaluate.json").read_text())["test_set"])
    assert names[0] != names[1]


def test_an_image_without_error_stays_out_of_the_json_as_infinity(workspace):
    images = np.load(workspace / "data/pixels.npy", mmap_mode="r+")
    images[:] = 128
    evaluate.run(workspace)
    metrics = json.loads((workspace / "metrics/evaluate.json").read_text())
    assert metrics["bicubic"]["x2"] == {"psnr": 100.0, "ssim": 1.0}
    assert all(math.isfinite(value["psnr"]) for model in ("srcnn", "vdsr", "edsr") for value in metrics[model].values())
    errormaps.run(workspace)


def test_panels_and_mean_maps_are_drawn_for_every_scale(finished):
    names = sorted(path.name for path in (finished / "plots/errormaps").iterdir())
    expected = [f"x{scale}_{rest}.png" for scale in SCALES for rest in ("1_worst", "2_median", "3_best", "mean")]
    images = pd.read_csv(finished / "plots/per_image.csv")["image"].nunique()
    assert images >= 3
    assert names == expected
    assert all(imread(finished / "plots/errormaps" / name).std() > 10 for name in names)


def test_panels_of_an_earlier_run_do_not_stay(workspace):
    (workspace / "plots/errormaps/x9_9_worst.png").write_bytes(b"old")
    errormaps.run(workspace)
    assert not (workspace / "plots/errormaps/x9_9_worst.png").exists()


def test_an_srcnn_file_without_the_scale_asked_for_is_refused(workspace):
    path = workspace / "models/srcnn.safetensors"
    weights, description = modelfile.read(path)
    modelfile.write(path, {"x2": weights["x2"]}, {**description, "scales": [2]})
    with pytest.raises(UserError, match=r"srcnn\.safetensors was not trained for x3"):
        Restorers(workspace / "models", [Degradation(2), Degradation(3)], 0, torch.device("cpu"))


def test_a_vdsr_file_trained_for_other_scales_is_refused(workspace):
    path = workspace / "models/vdsr.safetensors"
    weights, description = modelfile.read(path)
    modelfile.write(path, weights, {**description, "scales": [2]})
    with pytest.raises(UserError, match=r"vdsr\.safetensors was not trained for x3"):
        Restorers(workspace / "models", [Degradation(2), Degradation(3)], 0, torch.device("cpu"))


@pytest.mark.parametrize(
    ("trained", "has", "expected"),
    [("bfloat16", True, torch.bfloat16), ("bfloat16", False, torch.float32), ("float32", True, torch.float32)],
)
def test_vdsr_alone_restores_in_bfloat16_when_trained_so_on_hardware_that_has_it(
    workspace, monkeypatch, trained, has, expected
):
    path = workspace / "models/vdsr.safetensors"
    weights, description = modelfile.read(path)
    weights["vdsr"]["layers.19.weight"] += torch.randn(1, 64, 3, 3, generator=torch.Generator().manual_seed(0)) / 1000
    modelfile.write(path, weights, {**description, "precision": trained})
    with monkeypatch.context() as pretended:  # while it chooses; what there is then multiplies
        pretended.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": has})
        pretended.setenv("ONEDNN_MAX_CPU_ISA", "ALL")
        restorers = Restorers(workspace / "models", [Degradation(scale) for scale in SCALES], 0, torch.device("cpu"))
    bicubic = torch.rand(1, 1, 160, 160, generator=torch.Generator().manual_seed(0))  # so large that a tile goes through once
    restored = restorers.enhanced(bicubic[..., ::2, ::2], bicubic, 2)
    loaded = networks(workspace)
    with torch.no_grad():
        single = {model: loaded[model, 2](bicubic).clamp(0, 1) for model in ("srcnn", "vdsr")}
        with torch.autocast("cpu", torch.bfloat16):
            half = loaded["vdsr", 2](bicubic).clamp(0, 1)
    assert not torch.equal(half, single["vdsr"])
    assert torch.equal(restored["vdsr"], half if expected == torch.bfloat16 else single["vdsr"])
    assert torch.equal(restored["srcnn"], single["srcnn"])


def test_with_noise_every_level_is_trained_measured_and_drawn(workspace):
    noisy = {"degrade": {"scales": [2], "noise": [0, 5]}, "evaluate": {"conditions": ["clean", "noise5"]}}
    write_params(workspace, TINY, noisy)
    for stage in (train_srcnn, train_vdsr, train_edsr, evaluate, errormaps):
        stage.run(workspace)
    metrics = json.loads((workspace / "metrics/evaluate.json").read_text())
    assert all(list(metrics[model]) == ["x2", "x2_noise5"] for model in ("bicubic", "srcnn", "vdsr", "edsr"))
    names = {path.name for path in (workspace / "plots/errormaps").iterdir()}
    assert {"x2_mean.png", "x2_noise5_mean.png", "x2_1_worst.png", "x2_noise5_1_worst.png"} <= names
    for network in ("srcnn", "vdsr", "edsr"):
        assert set(pd.read_csv(workspace / f"plots/train_{network}.csv")["degradation"]) == {"x2", "x2_noise5"}
    # By hand: the copy with its noise, enlarged.
    image, truth = next(iter(truths(workspace).items()))
    truth = torch.from_numpy(cropped_to(truth, 2).copy())[None, None].float() / 255
    noise = 5 * field_for_image(Degradation(2, 5.0), 0, image, truth.shape[-2] // 2, truth.shape[-1] // 2)
    levels = (enlarge(low_resolution(truth, 2, noise), 2) * 255).round()[0, 0, 2:-2, 2:-2].numpy()
    table = pd.read_csv(workspace / "plots/per_image.csv", dtype={"image": str})
    (row,) = table[
        (table["image"] == image) & (table["model"] == "bicubic") & (table["degradation"] == "x2_noise5")
    ].itertuples()
    expected = peak_signal_noise_ratio((truth * 255)[0, 0, 2:-2, 2:-2].numpy(), levels, data_range=255)
    assert row.psnr == pytest.approx(expected, abs=0.01)
    assert row.inconsistency < 5.5  # of the copy as the networks got it
    clean = table[(table["image"] == image) & (table["model"] == "bicubic") & (table["degradation"] == "x2")]
    assert clean["psnr"].item() > row.psnr + 1


def test_a_blind_network_learns_from_ranges_and_is_measured_in_conditions(workspace):
    blind = {"degrade": {"scales": [2]}, "ranges": {"clean": 0.3}, "evaluate": {"conditions": ["mixed", "clean", "jpeg75"]}}
    write_params(workspace, TINY, blind)
    train_edsr.run(workspace)
    first = (workspace / "models/edsr.safetensors").read_bytes()
    train_edsr.run(workspace)
    assert (workspace / "models/edsr.safetensors").read_bytes() == first
    _, described = modelfile.read(workspace / "models/edsr.safetensors")
    assert described["noise"] == [0, 6]
    assert described["ranges"]["clean"] == 0.3
    assert set(pd.read_csv(workspace / "plots/train_edsr.csv")["degradation"]) == {"x2_ranges"}
    write_params(workspace, TINY, {**blind, "ranges": {"clean": 1}})
    train_edsr.run(workspace)
    assert "ranges" not in modelfile.read(workspace / "models/edsr.safetensors")[1]
    assert (workspace / "models/edsr.safetensors").read_bytes() != first
    for stage in (evaluate, errormaps):
        stage.run(workspace)
    metrics = json.loads((workspace / "metrics/evaluate.json").read_text())
    assert all(sorted(metrics[model]) == ["x2", "x2_jpeg75", "x2_mixed"] for model in ("bicubic", "srcnn", "vdsr", "edsr"))
    assert metrics["bicubic"]["x2"]["psnr"] > metrics["bicubic"]["x2_mixed"]["psnr"]
    assert (workspace / "plots/errormaps/x2_mixed_mean.png").exists()


def test_a_condition_that_is_none_stops_check_and_evaluate(workspace):
    write_params(workspace, TINY, {"evaluate": {"conditions": ["clean", "fog"]}})
    for stage in (check, evaluate):
        with pytest.raises(UserError, match=r"evaluate\.conditions has 'fog', none of clean, noise1"):
            stage.run(workspace)
