import copy
import math
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.linalg
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from cxr.compute import modelfile
from cxr.dataset.packed import Dataset, Frames
from cxr.foundation.errors import UserError
from cxr.foundation.runtime import Runtime
from cxr.superres.degradation.levels import to_levels
from cxr.superres.kernels import srcnn as srcnn_kernels
from cxr.superres.kernels import vdsr as vdsr_kernels
from cxr.superres.kernels.forms import AS_PUBLISHED
from cxr.superres.kernels.srcnn_around_level import AroundLevel
from cxr.superres.networks import edsr, srcnn, vdsr
from cxr.superres.networks.edsr import EDSR
from cxr.superres.networks.srcnn import SRCNN
from cxr.superres.networks.vdsr import VDSR
from cxr.superres.settings import Degradation
from cxr.superres.training.crops import Crops, Drawn
from cxr.superres.training.run import Run
from cxr.superres.training.schedule import share_of_peak
from cxr.superres.training.session import chosen
from cxr.superres.training.settings import Augment, Training
from cxr.superres.training.trainer import Fitted, Trainer
from cxr.superres.training.validation import Validation
from stages import train_edsr, train_srcnn, train_vdsr
from tests.support.phantoms import square
from tests.support.tiny import TINY, write_params

MADE_WITH = {"code": "c", "torch": torch.__version__}
AUGMENT = Augment(flip=True, zoom=0.6, rotation=5.0, warped=0.25)
CPU = torch.device("cpu")
FORMS = {"srcnn": srcnn_kernels.FORMS, "vdsr": vdsr_kernels.FORMS, "edsr": AS_PUBLISHED}
X2 = Degradation(2)
ALL = [Degradation(scale) for scale in (2, 3, 4)]


@pytest.fixture(scope="module")
def data() -> Dataset:
    images = np.stack([square(0, index, 108) for index in range(10)])
    table = pd.DataFrame({"id": [str(i) for i in range(10)], "split": ["train"] * 6 + ["val"] * 2 + ["test"] * 2})
    return Dataset(Frames.of(images), table)


def stacked(data: Dataset) -> np.ndarray:
    """Return a copy of the images (N, S, S), which are all of one shape."""
    return np.stack([image.pixels for image in data.images])


def settings(**changes) -> Training:
    defaults = {
        "steps": 6,
        "batch": 3,
        "patch": 24,
        "optimizer": "soap",
        "soap_every": 2,
        "learning_rate": 0.001,
        "schedule": "cosine",
        "fourier": 0.0,
        "ranks": 1,
    }
    return Training(**{**defaults, "validations": 3, "precision": "float32", "seed": 0, **changes})


def trainer(data: Dataset, folder: Path, minutes: float = 1000, **changes) -> Trainer:
    return Trainer(
        data, settings(**changes), AUGMENT, Runtime(1, "cpu", minutes, stall_seconds=60, retry_minutes=10), folder, MADE_WITH
    )


def fit(data: Dataset, folder: Path, network: str = "vdsr", minutes: float = 1000, **changes) -> Fitted:
    fresh, start = {
        "srcnn": (SRCNN, srcnn.start_from_bicubic),
        "vdsr": (VDSR, vdsr.start_from_bicubic),
        "edsr": (partial(EDSR, 2, 16), edsr.start_from_bicubic),
    }[network]
    fresh = fresh()
    start(fresh, 0)
    degradations = [X2] if network == "srcnn" else ALL
    if network == "edsr":
        changes = {"fourier": 1.0, **changes}
    return trainer(data, folder, minutes, **changes).fit(network, fresh, degradations, forms=FORMS[network])


def equal(a: Fitted, b: Fitted) -> bool:
    same_weights = all(torch.equal(a.weights[name], b.weights[name]) for name in a.weights)
    same_curves = repr(a.curves) == repr(b.curves)  # in which NaN, of a degradation that had no crop yet, equals NaN
    return same_weights and same_curves and a.best_step == b.best_step


@pytest.mark.parametrize(("network", "steps"), [("srcnn", 60), ("vdsr", 60), ("edsr", 90)])
def test_a_short_run_already_beats_bicubic(data, tmp_path, network, steps):
    fitted = fit(data, tmp_path, network, steps=steps, batch=4, patch=24)
    assert fitted.best_step > 0
    best = max(
        np.mean([row["gain"] for row in fitted.curves if row["step"] == step]) for step in {r["step"] for r in fitted.curves}
    )
    assert best > 0.03


@pytest.mark.parametrize("network", ["srcnn", "vdsr", "edsr"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_two_runs_are_equal_bit_for_bit(data, tmp_path, network, precision):
    assert equal(*(fit(data, tmp_path / name, network, precision=precision) for name in "ab"))


def test_srcnn_learns_around_its_level_in_bfloat16(workspace, monkeypatch):
    made = []
    monkeypatch.setattr(
        AroundLevel, "__init__", lambda self, *given, make=AroundLevel.__init__: made.append(make(self, *given))
    )
    write_params(workspace, TINY, {"train_srcnn": {"precision": "bfloat16", "steps": 2}})
    train_srcnn.run(workspace)
    assert len(made) == 3  # one for each scale


def spoil_once(monkeypatch, step: int) -> None:
    """Let the crops of `step` be no numbers the first time they are drawn."""
    draw_crops, spoilt = Crops.draw, []

    def draw_spoilt(crops: Crops, number: int) -> Drawn:
        drawn = draw_crops(crops, number)
        if number == step and not spoilt:
            spoilt.append(number)
            drawn = drawn._replace(crops=torch.full_like(drawn.crops, torch.nan))
        return drawn

    monkeypatch.setattr(Crops, "draw", draw_spoilt)


@pytest.mark.parametrize("network", ["srcnn", "vdsr", "edsr"])
def test_a_loss_that_is_no_number_goes_back_and_on_at_half_the_learning_rate(data, tmp_path, monkeypatch, capsys, network):
    undisturbed = fit(data, tmp_path / "undisturbed", network)
    spoil_once(monkeypatch, step=3)
    fitted = fit(data, tmp_path / "spoilt", network)
    scales = 1 if network == "srcnn" else 3
    assert [row["step"] for row in fitted.curves] == [row["step"] for row in undisturbed.curves]
    assert fitted.curves[:scales] == undisturbed.curves[:scales]
    for row, other in zip(fitted.curves[scales:], undisturbed.curves[scales:], strict=True):
        assert row["learning_rate"] == other["learning_rate"] / 2
        assert math.isfinite(row["psnr"])
    assert "up to step 4 the loss was nan; went back to step 2" in capsys.readouterr().err


def test_a_run_that_went_back_and_was_interrupted_ends_as_one_that_was_not(data, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        spoil_once(patched, step=3)
        undisturbed = fit(data, tmp_path / "undisturbed", minutes=0)
    with monkeypatch.context() as patched:
        spoil_once(patched, step=3)
        patched.setattr(Run, "validate", lambda *_, validate=Run.validate: stop_at(6, *_) or validate(*_))
        with pytest.raises(KeyboardInterrupt):
            fit(data, tmp_path / "resumed", minutes=0)
    assert equal(fit(data, tmp_path / "resumed", minutes=0), undisturbed)


def stop_at(step: int, run: Run, *_: object) -> None:
    if run.step == step:
        raise KeyboardInterrupt


def test_a_run_that_diverges_twice_stops_with_step_and_cause(data, tmp_path, capsys):
    with pytest.raises(
        UserError, match=r"training diverges: up to step 4 the loss was .*, also at half the learning rate; set a lower"
    ):
        fit(data, tmp_path, learning_rate=1e4)
    assert "went back to step 2" in capsys.readouterr().err


def test_another_seed_gives_another_run(data, tmp_path):
    assert not equal(fit(data, tmp_path / "a"), fit(data, tmp_path / "b", seed=1))


@pytest.mark.parametrize("network", ["srcnn", "vdsr", "edsr"])
@pytest.mark.parametrize("interrupted_at", [1, 3, 4])
def test_an_interrupted_run_ends_as_an_undisturbed_one(data, tmp_path, monkeypatch, network, interrupted_at):
    undisturbed = fit(data, tmp_path / "undisturbed", network)
    drawn: list[int] = []
    draw_crops = Crops.draw

    def fail(crops: Crops, step: int) -> torch.Tensor:
        drawn.append(step)
        if step == interrupted_at:
            raise KeyboardInterrupt
        return draw_crops(crops, step)

    with monkeypatch.context() as patched:
        patched.setattr(Crops, "draw", fail)
        with pytest.raises(KeyboardInterrupt):
            fit(data, tmp_path / "resumed", network, minutes=0)

    drawn.clear()
    monkeypatch.setattr(Crops, "draw", lambda crops, step: drawn.append(step) or draw_crops(crops, step))
    assert equal(fit(data, tmp_path / "resumed", network, minutes=0), undisturbed)
    assert drawn == list(range(interrupted_at, 6))  # what was done is not done again


def test_seconds_of_training_add_up_over_interruptions_and_networks(data, tmp_path, monkeypatch):
    clock, draw_crops = [0.0], Crops.draw

    def ten_seconds(crops: Crops, step: int) -> Drawn:
        clock[0] += 10
        if step == 4 and clock[0] == 50:
            raise KeyboardInterrupt  # in the fifth step, which is lost
        return draw_crops(crops, step)

    monkeypatch.setattr("cxr.superres.training.trainer.time.monotonic", lambda: clock[0])
    monkeypatch.setattr(Crops, "draw", ten_seconds)

    def fit_two(again: Trainer) -> float:
        for name in ("first", "second"):
            again.fit(name, EDSR(1, 8), ALL, forms=AS_PUBLISHED)
        return again.seconds

    with pytest.raises(KeyboardInterrupt):
        fit_two(trainer(data, tmp_path, minutes=0))
    assert fit_two(trainer(data, tmp_path, minutes=0)) == 120
    assert fit_two(trainer(data, tmp_path, minutes=0)) == 120  # from checkpoints


def test_a_finished_network_comes_back_from_its_checkpoint_until_that_is_forgotten(data, tmp_path, monkeypatch):
    first = trainer(data, tmp_path)
    network = VDSR()
    vdsr.start_from_bicubic(network, 0)
    fitted = first.fit("vdsr", network, ALL, forms=FORMS["vdsr"])
    monkeypatch.setattr(Crops, "draw", lambda *_: pytest.fail("trained again"))
    assert equal(trainer(data, tmp_path).fit("vdsr", VDSR(), ALL, forms=FORMS["vdsr"]), fitted)
    first.forget()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("change", [{"seed": 1}, {"steps": 7}, {"learning_rate": 0.002}])
def test_a_checkpoint_of_other_settings_is_not_taken_up(data, tmp_path, monkeypatch, change):
    fit(data, tmp_path, minutes=0)
    steps: list[int] = []
    draw_crops = Crops.draw
    monkeypatch.setattr(Crops, "draw", lambda crops, step: steps.append(step) or draw_crops(crops, step))
    fit(data, tmp_path, **change)
    assert steps[0] == 0


def test_a_checkpoint_of_other_pixels_is_not_taken_up(data, tmp_path, monkeypatch):
    fit(data, tmp_path, minutes=0)
    images = stacked(data)
    images[6, 0, 0] ^= 1  # one bit of a validation image
    steps: list[int] = []
    draw_crops = Crops.draw
    monkeypatch.setattr(Crops, "draw", lambda crops, step: steps.append(step) or draw_crops(crops, step))
    fit(Dataset(Frames.of(images), data.table), tmp_path)
    assert steps[0] == 0


@pytest.mark.parametrize(
    ("name", "small", "large"),
    [("edsr", partial(EDSR, 1, 8), partial(EDSR, 1, 16)), ("srcnn", partial(SRCNN, 1), partial(SRCNN, 5))],
)
def test_a_checkpoint_of_another_architecture_is_not_taken_up(data, tmp_path, monkeypatch, name, small, large):
    trainer(data, tmp_path, minutes=0, steps=1, validations=1).fit(name, small(), [X2], forms=AS_PUBLISHED)
    steps: list[int] = []
    draw_crops = Crops.draw
    monkeypatch.setattr(Crops, "draw", lambda crops, step: steps.append(step) or draw_crops(crops, step))
    fitted = trainer(data, tmp_path, steps=1, validations=1).fit(name, large(), [X2], forms=AS_PUBLISHED)
    assert steps == [0]
    assert {key: each.shape for key, each in fitted.weights.items()} == {k: v.shape for k, v in large().state_dict().items()}


def test_test_rows_change_nothing(data, tmp_path):
    images = stacked(data)
    images[8:] = np.random.default_rng(0).integers(0, 256, images[8:].shape)
    assert equal(fit(Dataset(Frames.of(images), data.table), tmp_path / "a"), fit(data, tmp_path / "b"))


def test_the_best_weights_on_validation_are_kept_not_the_last(data, tmp_path, monkeypatch):
    values = iter([30.0, 30.0, 30.0, 33.0, 31.0])  # bicubic, then five validations
    monkeypatch.setattr(Validation, "measure", lambda self, _: dict.fromkeys(self.windows, (next(values), 0.9)))
    fitted = fit(data, tmp_path / "a", "srcnn", steps=4, validations=4)
    assert fitted.best_step == 3
    assert [row["gain"] for row in fitted.curves] == [0, 0, 3, 1]


def test_curves_have_a_row_for_each_validation_and_scale(data, tmp_path):
    curves = pd.DataFrame(fit(data, tmp_path, steps=100 // 10, validations=5).curves)
    assert list(curves.columns) == ["step", "degradation", "learning_rate", "loss", "psnr", "ssim", "gain"]
    assert list(curves["step"]) == [step for step in (2, 4, 6, 8, 10) for _ in range(3)]
    assert list(curves["degradation"]) == ["x2", "x3", "x4"] * 5
    assert (curves["loss"] > 0).all()


def test_losses_in_the_curves_are_means_over_the_crops_of_each_scale(data):
    network = torch.nn.Conv2d(1, 1, 1)
    torch.nn.init.ones_(network.weight)
    torch.nn.init.zeros_(network.bias)
    run = Run(network, settings(batch=4, optimizer="adam", learning_rate=1e-9), ALL, torch.float32)
    errors = torch.arange(12).view(3, 4, 1, 1, 1) / 100
    for batch in errors:
        run.train_step(batch, torch.zeros(4, 1, 1, 1))
    run.validate(Validation(data.images, data.rows("val"), ALL, CPU))
    for scale, row in enumerate(run.curves):
        assert row["loss"] == pytest.approx(errors.flatten()[scale::3].mean().item(), rel=1e-5)


@pytest.mark.parametrize(("fourier", "height", "width"), [(0.0, 12, 12), (1.0, 12, 12), (1.0, 9, 14), (1.0, 10, 7)])
def test_the_gradients_of_a_batch_are_those_of_its_loss(fourier, height, width):
    torch.manual_seed(0)
    network, inputs, truth = SRCNN(), torch.rand(6, 1, height, width), torch.rand(6, 1, height, width)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    down, across = (torch.from_numpy(scipy.linalg.dft(side, scale="sqrtn")).to(torch.complex64) for side in (height, width))
    error = network(inputs) - truth
    transformed = down @ error.to(torch.complex64) @ across
    losses = (error.abs().mean((1, 2, 3)) + fourier * transformed.abs().mean((1, 2, 3))) / (1 + fourier)
    expected = torch.autograd.grad(losses.mean(), list(network.parameters()))
    run = Run(network, settings(batch=6, patch=12, fourier=fourier), [X2], torch.float32)
    torch.testing.assert_close(run.compute_gradients(inputs, truth), losses.detach())
    for parameter, wanted in zip(network.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("schedule", "falling"),
    [("cosine", lambda done: math.cos(math.pi * done / 2) ** 2), ("quadratic", lambda done: 1 - 2 * done + done**2)],
)
def test_the_learning_rate_rises_and_then_falls_to_nothing(schedule, falling):
    rates = [share_of_peak(step, 1000, schedule) for step in range(1000)]
    assert rates[0] == pytest.approx(1 / 20)
    assert rates[9] == pytest.approx(1 / 2)
    for step in (30, 500, 900):
        assert rates[step] == pytest.approx(falling(step / 1000))
    assert rates[-1] < 1e-5


def test_the_weights_that_are_judged_are_a_running_mean():
    network = torch.nn.Conv2d(1, 1, 1)
    run = Run(network, settings(batch=1, optimizer="adam", learning_rate=0.1), [X2], torch.float32)
    seen = []
    for _ in range(4):
        run.train_step(torch.rand(1, 1, 4, 4), torch.rand(1, 1, 4, 4))
        seen.append(network.weight.item())
    mean = seen[0]  # what the network was before its first step does not count
    for step, weight in enumerate(seen[1:], start=1):
        keep = (1 + step) / (10 + step)
        mean = keep * mean + (1 - keep) * weight
    assert run.averaged.module.weight.item() == pytest.approx(mean, rel=1e-6)


def test_validation_measures_bicubic_as_scikit_image_does(data):
    validation = Validation(data.images, data.rows("val"), [X2], CPU)
    inputs, truth = (to_levels(images)[:, 0, 2:-2, 2:-2].numpy() for images in validation.windows[X2])
    psnrs = [peak_signal_noise_ratio(t, i, data_range=255) for i, t in zip(inputs, truth, strict=True)]
    ssims = [
        structural_similarity(t, i, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
        for i, t in zip(inputs, truth, strict=True)
    ]
    assert validation.bicubic[X2] == pytest.approx((np.mean(psnrs), np.mean(ssims)), abs=1e-6)


@pytest.mark.parametrize("depths", [(12, 12, 12), (8, 12, 16)])
def test_validation_measures_wide_and_deep_images_on_their_own_range(depths):
    kind, shapes = np.uint16, [(108, 150), (160, 109), (120, 120)]
    source = np.random.default_rng(0)
    deep = [
        (square(0, index, 160)[: shape[0], : shape[1]] * (((1 << bits) - 1) / 256) + source.random(shape)).astype(kind)
        for index, (shape, bits) in enumerate(zip(shapes, depths, strict=True))
    ]
    frames = Frames.of(deep)
    frames = Frames(frames.pixels, frames.begins, frames.shapes, np.array(depths))
    validation = Validation(frames, np.arange(3), [X2], CPU)
    psnrs, ssims = [], []
    for observed, truth, image, bits in zip(*validation.windows[X2], deep, depths, strict=True):
        white = (1 << bits) - 1
        seen, window = ((each[0].double().numpy() * white + 0.501).astype(int) for each in (observed, truth))
        assert (np.lib.stride_tricks.sliding_window_view(image, window.shape) == window).all(axis=(2, 3)).any()
        inner = slice(2, -2), slice(2, -2)
        psnrs.append(peak_signal_noise_ratio(window[inner], seen[inner], data_range=white))
        how = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        ssims.append(structural_similarity(window[inner], seen[inner], data_range=white, **how))
    assert validation.bicubic[X2] == pytest.approx((np.mean(psnrs), np.mean(ssims)), abs=1e-3)


def test_validation_reads_only_validation_rows(data):
    images = np.zeros_like(stacked(data))
    images[6:8] = stacked(data)[6:8]
    assert (
        Validation(Frames.of(images), data.rows("val"), [Degradation(3)], CPU).bicubic
        == Validation(data.images, data.rows("val"), [Degradation(3)], CPU).bicubic
    )


def test_no_validation_image_is_refused(data):
    with pytest.raises(UserError, match="no image to validate on"):
        Validation(data.images, np.array([], int), [X2], CPU)


@pytest.mark.parametrize("validation_precision", [torch.float32, torch.bfloat16])
def test_networks_are_judged_in_what_they_are_evaluated_in(data, tmp_path, validation_precision):
    fresh = VDSR()
    vdsr.start_from_bicubic(fresh, 0)
    fitted = trainer(data, tmp_path, precision="bfloat16", validations=1).fit(
        "vdsr", fresh, [X2], validation_precision=validation_precision, forms=FORMS["vdsr"]
    )
    network = torch.nn.utils.convert_conv2d_weight_memory_format(VDSR(), torch.channels_last)
    network.load_state_dict(fitted.weights)

    def quality(dtype: torch.dtype) -> tuple[float, float]:
        with torch.autocast("cpu", dtype, enabled=dtype == torch.bfloat16):
            return Validation(data.images, data.rows("val"), [X2], CPU).measure(network)[X2]

    judged = fitted.curves[-1]["psnr"], fitted.curves[-1]["ssim"]
    assert judged == pytest.approx(quality(validation_precision), abs=1e-7)
    other = torch.bfloat16 if validation_precision == torch.float32 else torch.float32
    assert judged != pytest.approx(quality(other), abs=1e-7)


def test_each_further_scale_starts_from_the_network_of_the_one_before(workspace, monkeypatch):
    begun = []
    fit = Trainer.fit

    def watched(self: Trainer, name: str, network: SRCNN, degradations: list[Degradation], steps: int, **others) -> Fitted:
        begun.append((name, steps, copy.deepcopy(network.state_dict())))
        return fit(self, name, network, degradations, steps, **others)

    monkeypatch.setattr(Trainer, "fit", watched)
    train_srcnn.run(workspace)
    written, _ = modelfile.read(workspace / train_srcnn.MODEL)
    assert [(name, steps) for name, steps, _ in begun] == [("srcnn x2", 6), ("srcnn x3", 2), ("srcnn x4", 2)]
    for (_, _, start), before in zip(begun[1:], ("x2", "x3"), strict=True):
        assert all(torch.equal(start[key], written[before][key]) for key in start)


def test_a_tiny_edsr_has_moved_at_every_scale_and_in_every_layer(workspace):
    train_edsr.run(workspace)
    (weights,) = modelfile.read(workspace / train_edsr.MODEL)[0].values()
    start = EDSR()
    edsr.start_from_bicubic(start, 0)
    moved = {name for name, first in start.state_dict().items() if not torch.equal(weights[name], first)}
    assert moved == set(weights)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(("stage", "first"), [(train_vdsr, "layers.0"), (train_edsr, "head")])
def test_a_network_is_written_with_the_weights_that_are_multiplied(workspace, stage, first, precision):
    write_params(workspace, TINY, {stage.__name__.removeprefix("stages."): {"precision": precision}})
    stage.run(workspace)
    (weights,) = modelfile.read(workspace / stage.MODEL)[0].values()
    held = {name for name, tensor in weights.items() if torch.equal(tensor.bfloat16().float(), tensor)}
    whole = {f"{first}.weight", f"{first}.bias"}
    assert held == (set(weights) - whole if precision == "bfloat16" else set())


def test_bases_turn_as_often_as_the_parameters_say():
    for every in (1, 5):
        run = Run(SRCNN(), settings(soap_every=every), [X2], torch.float32, torch.float32, forms=FORMS["srcnn"])
        assert run.optimizer.every == every


def test_experiments_are_compared_by_the_step_that_was_chosen():
    def row(step: int, scale: str, gain: float) -> dict[str, str | int | float]:
        return {"step": step, "degradation": scale, "loss": 0.1, "psnr": 40.12345, "ssim": 0.987654, "gain": gain}

    curves = [row(step, scale, gain) for step, gain in ((10, 0.5), (20, 1.25), (30, 1.0)) for scale in ("x2", "x3")]
    found = chosen([Fitted({}, 20, curves), Fitted({}, 30, [row(30, "x4", 0.75)])])
    assert found["gain"] == {"x2": 1.25, "x3": 1.25, "x4": 0.75}
    assert found["validation"][0] == {"degradation": "x2", "step": 20, "psnr": 40.123, "ssim": 0.9877, "gain": 1.25}
