import numpy as np
import pytest
import torch
from PIL import Image
from tiny import TINY

from benchmarks import cuda, plain
from superres.degrade import observe
from superres.models.srcnn import SRCNN
from superres.models.vdsr import VDSR
from superres.preprocess import prepare
from superres.quality import psnr, ssim
from superres.sources.phantom import draw


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return draw(0, 0, 96).pixels


@pytest.mark.parametrize(("ours", "theirs"), [(SRCNN, plain.srcnn), (VDSR, plain.VDSR)])
def test_the_plain_networks_are_the_same_networks(ours, theirs, image):
    network, other = ours(), theirs()
    other.load_state_dict(dict(zip(other.state_dict(), network.state_dict().values(), strict=True)))
    inputs = torch.from_numpy(image.copy())[None, None].float() / 255
    inner = (..., slice(8, -8), slice(8, -8)) if ours is SRCNN else ...  # SRCNN's borders are repeated here, zeros there
    torch.testing.assert_close(other(inputs)[inner], network(inputs)[inner], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_plain_evaluation_measures_what_ours_measures(image, scale):
    ((their_psnr, their_ssim),) = plain.evaluate([], image, scale)
    truth = torch.from_numpy(image.copy())[None, None]
    degraded = torch.from_numpy(plain.degrade(image, scale)[1].copy())[None, None]
    assert psnr(degraded, truth, scale).item() == pytest.approx(their_psnr, abs=1e-6)
    assert ssim(degraded, truth, scale).item() == pytest.approx(their_ssim, abs=1e-6)
    ours = (observe(truth.float() / 255, scale) * 255).round()
    assert psnr(ours, truth, scale).item() == pytest.approx(their_psnr, abs=0.1)


def test_the_plain_recipe_learns(image):
    torch.manual_seed(0)
    training = plain.train(plain.srcnn(), plain.store_patches([image] * 32, [2]), workers=0)
    losses = [next(training) for _ in range(12)]
    assert losses[-1] < 0.5 * losses[0]


def test_the_plain_preparation_is_nearly_ours(tmp_path):
    large = draw(0, 1, 200).pixels
    Image.fromarray(large).save(tmp_path / "a.png")
    Image.fromarray(large[:90]).save(tmp_path / "small.png")
    (prepared,) = plain.preprocess([tmp_path / "a.png", tmp_path / "small.png"], 96)
    difference = prepared.astype(float) - prepare(large, 96, "none")
    assert np.sqrt((difference**2).mean()) < 3  # another kernel


def test_the_gpu_benchmark_times_every_stage(tmp_path, monkeypatch):
    seconds = cuda.run(tmp_path, TINY)
    assert list(seconds) == ["download", "preprocess", "split", "train_srcnn", "train_vdsr", "evaluate", "errormaps"]
    assert all(taken > 0 for taken in seconds.values())
    assert (tmp_path / "metrics/evaluate.json").is_file()
