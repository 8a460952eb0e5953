import hashlib
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from cxr.compute import modelfile
from cxr.foundation.errors import UserError
from cxr.foundation.place import ROOT
from cxr.superres import model as model_module
from cxr.superres.degradation.enlargement import enlarge
from cxr.superres.degradation.reduction import low_resolution
from cxr.superres.enhance import arrival_of, enhance, enhance_stored, restore
from cxr.superres.limits import limit_of
from cxr.superres.model import load_model
from cxr.superres.networks.srcnn import SRCNN
from cxr.superres.networks.vdsr import VDSR
from cxr.superres.tiles import TILE_CPU, tiled
from tests.support.phantoms import square


@pytest.mark.parametrize("network", [SRCNN, VDSR])
@pytest.mark.parametrize("tile", [(16, 16), (37, 100), (100, 37), (64, 64), (69, 53)])
def test_tiles_give_the_whole_image_bit_for_bit(network, tile):
    torch.manual_seed(0)
    trained = network()
    for parameter in trained.parameters():
        nn.init.normal_(parameter, std=0.03)
    image = torch.rand(1, 1, 70, 53)
    assert torch.equal(tiled(trained, trained.halo, image, tile), tiled(trained, trained.halo, image, (100, 100)))


@pytest.mark.parametrize("name", ["srcnn", "vdsr"])
def test_tiles_of_the_chosen_size_give_the_whole_image(name):
    model = load_model(name, torch.device("cpu"))
    image = torch.from_numpy(square(1, 3, 520) / np.float32(255))[None, None]
    assert image.shape[2] > TILE_CPU[0]
    assert image.shape[3] > TILE_CPU[1]
    network = model.networks[2]
    levels = [(tiled(model.running[2], network.halo, image, tile) * 65535).round() for tile in (None, (520, 520))]
    assert (levels[0] - levels[1]).abs().max() <= 1
    nn.utils.convert_conv2d_weight_memory_format(network, torch.contiguous_format)
    parts = image[..., :200, :]
    assert torch.equal(tiled(network, network.halo, parts), tiled(network, network.halo, parts, (520, 520)))


def test_the_result_is_clipped():
    class Overshoot(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images * 3 - 1

    values = torch.tensor([0.0, 0.5, 1.0]).view(1, 1, 1, 3)
    assert tiled(Overshoot(), 0, values).flatten().tolist() == [0, 0.5, 1]


def test_each_tile_tells_its_pixels():
    told = []
    tiled(SRCNN(), SRCNN().halo, torch.rand(1, 1, 70, 53), (37, 30), told.append)
    assert (len(told), sum(told)) == (4, 70 * 53)


def test_trained_models_go_before_those_that_come_along(tmp_path, monkeypatch):
    folders = [tmp_path / "models", tmp_path / "pretrained"]
    monkeypatch.setattr(model_module, "FOLDERS", folders)
    with pytest.raises(UserError, match=r"models/vdsr\.safetensors is missing"):
        load_model("vdsr")
    for number, folder in enumerate(reversed(folders)):
        weights = {name: tensor.fill_(number) for name, tensor in VDSR().state_dict().items()}
        described = {"network": "vdsr", "scales": [2, 3], "noise": [0.0], "precision": "float32"}
        modelfile.write(folder / "vdsr.safetensors", {"vdsr": weights}, described)
        model = load_model("vdsr")
        assert model.digest == hashlib.sha256((folder / "vdsr.safetensors").read_bytes()).hexdigest()[:12]
        assert {parameter.unique().item() for parameter in model.networks[3].parameters()} == {number}


def test_what_learnt_from_phantoms_must_be_named_by_its_path(tmp_path, monkeypatch):
    monkeypatch.setattr(model_module, "FOLDERS", [tmp_path])
    described = {"network": "vdsr", "scales": [2], "noise": [0.0], "precision": "float32", "phantoms": True}
    modelfile.write(tmp_path / "vdsr.safetensors", {"vdsr": VDSR().state_dict()}, described)
    with pytest.raises(UserError, match=r"vdsr\.safetensors has learnt from phantoms, which show no person"):
        load_model("vdsr")
    assert load_model(tmp_path / "vdsr.safetensors").name == "vdsr"


@pytest.mark.parametrize(("name", "scales"), [("srcnn", [2, 3, 4]), ("vdsr", [2, 3, 4])])
def test_networks_come_along_and_beat_bicubic_interpolation(name, scales):
    """On a drawn radiograph, which they have never seen the like of."""
    path = ROOT / "pretrained" / f"{name}.safetensors"
    assert path.stat().st_size <= 1.4 * 2**20
    model = load_model(path)
    truth = torch.from_numpy(square(0, 0, 240).astype(np.float32) / 255)[None, None]
    for scale in scales:
        bicubic = enlarge(low_resolution(truth, scale), scale)
        better = restore(model, low_resolution(truth, scale), scale)
        assert (better - truth).square().mean() < 0.9 * (bicubic - truth).square().mean()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_an_image_keeps_its_type_and_its_range(dtype):
    model = load_model("vdsr")
    image = np.random.default_rng(0).random((20, 17)).astype(np.float32)
    white = 1 if dtype == np.float32 else np.iinfo(dtype).max
    given = image if dtype == np.float32 else (image * white).round().astype(dtype)
    found = enhance(model, given, scale=3)
    assert (found.dtype, found.shape) == (dtype, (60, 51))
    exact = restore(model, torch.from_numpy(given / white).float()[None, None], 3)[0, 0].double().numpy()
    assert np.abs(found - exact * white).max() <= (0 if dtype == np.float32 else 0.51)


def test_other_arrays_and_scales_are_refused():
    model = load_model("vdsr")
    for image in (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.int16), np.zeros((4, 4))):
        with pytest.raises(ValueError, match="is no grey image of uint8, uint16 or float32"):
            enhance(model, image)
    with pytest.raises(UserError, match="this vdsr was trained for x2, x3, x4, not for x5"):
        enhance(model, np.zeros((4, 4), np.uint8), scale=5)


@pytest.mark.parametrize(("dtype", "bits"), [(np.uint8, 6), (np.uint16, 10), (np.uint16, 12), (np.uint16, 16)])
def test_bits_say_what_is_white(dtype, bits):
    model = load_model("vdsr")
    white = (1 << bits) - 1
    image = (np.random.default_rng(0).random((20, 17)) * white).round().astype(dtype)
    found = enhance(model, image, bits=bits)
    exact = restore(model, torch.from_numpy(image / white).float()[None, None], 2)[0, 0].double().numpy()
    assert found.dtype == dtype
    assert np.abs(found - exact * white).max() <= 0.51


@pytest.mark.parametrize(
    ("bits", "reason"), [(9, "values up to 1,000 exceed 511, the most that 9 bits hold"), (17, "17 bits are none")]
)
def test_bits_that_cannot_be_are_refused(bits, reason):
    with pytest.raises(UserError, match=reason):
        enhance(load_model("vdsr"), np.full((4, 4), 1000, np.uint16), bits=bits)


@pytest.mark.parametrize("make", [enhance, limit_of, lambda _, image: arrival_of(image)])
def test_what_is_no_number_is_refused(make):
    image = np.full((40, 40), 0.5, np.float32)
    image[3, 4:6] = np.nan
    with pytest.raises(UserError, match=r"^2 values are no numbers \(NaN\); give each a value"):
        make(load_model("vdsr"), image)


def test_what_lies_beyond_black_and_white_is_kept():
    model = load_model("vdsr")
    model = replace(model, running=model.networks)  # in float32
    image = np.random.default_rng(0).random((20, 17)).astype(np.float32) * 3 - 1
    linear = SimpleNamespace(shown=lambda values: values.clip(0, 1), moved=lambda values, old, new: values + (new - old))
    found = enhance_stored(model, image, 2, linear)
    bicubic = torch.nn.functional.interpolate(
        torch.from_numpy(image)[None, None], (40, 34), mode="bicubic", antialias=True
    ).numpy()[0, 0]
    assert found.min() < -0.9
    assert found.max() > 1.9
    low, larger = (torch.from_numpy(each.clip(0, 1))[None, None] for each in (image, bicubic))
    added = restore(model, low, 2, bicubic=larger)[0, 0].numpy() - bicubic.clip(0, 1)
    assert np.abs(found - bicubic - added).max() < 2e-6
