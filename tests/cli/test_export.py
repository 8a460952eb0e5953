import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from cxr.cli.export import main
from cxr.compute import modelfile
from cxr.foundation.errors import UserError
from cxr.superres import export
from cxr.superres.degradation.enlargement import enlarge
from cxr.superres.degradation.maps import MAPS, beside, values
from cxr.superres.model import Model, load_model
from cxr.superres.network import SuperResolution
from cxr.superres.networks.edsr import EDSR, start_from_bicubic
from cxr.superres.tiles import tiled
from cxr.superres.told import Told


@pytest.fixture
def edsr(tmp_path) -> Path:
    """Return the file of a network whose layers all have a say; none is bundled."""
    network, source = EDSR(2, 16), torch.Generator().manual_seed(0)
    start_from_bicubic(network, 0)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.bias, std=0.05, generator=source)
    for tail in network.tails.values():
        nn.init.normal_(tail.weight, std=0.02, generator=source)
    described = {"network": "edsr", "blocks": 2, "width": 16, "scales": [2, 3, 4], "noise": [0], "precision": "float32"}
    modelfile.write(tmp_path / "edsr.safetensors", {"edsr": network.state_dict()}, described)
    return tmp_path / "edsr.safetensors"


NETWORKS = [("srcnn", 2), ("srcnn", 4), ("vdsr", 2), ("edsr", 2), ("edsr", 3), ("edsr", 4)]


@pytest.mark.parametrize(("name", "scale"), NETWORKS)
def test_onnxruntime_agrees_with_torch_at_any_size(tmp_path, edsr, name, scale):
    path, model = tmp_path / "network.onnx", str(edsr) if name == "edsr" else name
    main([model, "-o", str(path), "--scale", str(scale)])
    runtime = onnxruntime.InferenceSession(path)
    network = load_model(model, torch.device("cpu")).networks[scale]
    given, times = ("low", scale) if name == "edsr" else ("bicubic", 1)
    for shape in ((1, 1, 40, 40), (1, 1, 33, 57), (2, 1, 64, 21), (3, 1, 2, 5), (1, 1, 1, 1), (1, 1, 4, 2500)):
        images = torch.rand(shape, generator=torch.Generator().manual_seed(0))
        beyond = images * 3 - 1 if name == "edsr" else images  # which counts as black or white
        images = beyond.clamp(0, 1)
        (found,) = runtime.run(None, {given: beyond.numpy()})
        assert found.shape == (*shape[:2], shape[2] * times, shape[3] * times)
        bicubic = enlarge(images, scale) if name == "edsr" else None
        assert abs(found - tiled(network, network.halo, images, bicubic=bicubic).numpy()).max() <= 1e-5
    described = runtime.get_modelmeta().custom_metadata_map
    assert described["scale"] == str(scale)
    assert json.loads(described["model"])["network"] == name


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_told_network_takes_what_it_is_told_as_a_second_input(tmp_path, scale):
    network, source = EDSR(1, 16, told=True), torch.Generator().manual_seed(0)
    start_from_bicubic(network, 0)
    nn.init.normal_(network.head.weight, std=0.3, generator=source)
    for tail in network.tails.values():
        nn.init.normal_(tail.weight, std=0.02, generator=source)
    said = {
        "network": "edsr",
        "blocks": 1,
        "width": 16,
        "told": True,
        "scales": [2, 3, 4],
        "noise": [0],
        "precision": "float32",
    }
    modelfile.write(tmp_path / "edsr.safetensors", {"edsr": network.state_dict()}, said)
    main([str(tmp_path / "edsr.safetensors"), "-o", str(tmp_path / "network.onnx"), "--scale", str(scale)])
    runtime = onnxruntime.InferenceSession(tmp_path / "network.onnx")
    assert [(each.name, each.shape[1]) for each in runtime.get_inputs()] == [("low", 1), ("told", MAPS)]
    low = torch.rand(2, 1, 33, 21, generator=source)
    each = [Told(3, depends_on_signal=True, jpeg=80), Told()]
    (found,) = runtime.run(None, {"low": low.numpy(), "told": np.array([values(one) for one in each], np.float32)})
    expected = tiled(network, network.halo, beside(low, each), bicubic=enlarge(low, scale))
    assert abs(found - expected.numpy()).max() <= 1e-5
    (other,) = runtime.run(None, {"low": low.numpy(), "told": np.zeros((2, MAPS), np.float32)})
    assert abs(other[0] - found[0]).max() > 1e-3
    assert abs(other[1] - found[1]).max() == 0


def test_a_scale_that_was_not_trained_is_told():
    model = load_model("srcnn")
    with pytest.raises(UserError, match="this srcnn was trained for x2, x3, x4, not for x5"):
        export.graph(model, 5)


def test_a_network_that_nothing_says_how_to_draw_is_refused_in_one_line(tmp_path):
    class Further(SuperResolution):
        post_upsampling = True

    networks = {2: Further()}
    model = Model("further", networks, networks, {}, "", torch.device("cpu"), torch.float32)
    with pytest.raises(UserError, match="further cannot be written as ONNX; export one of SRCNN, VDSR, EDSR") as caught:
        export.write(tmp_path / "network.onnx", model, 2)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "network.onnx").exists()
