import json

import onnxruntime
import pytest
import torch

from cxr.cli.export import main
from cxr.foundation.errors import UserError
from cxr.superres import export
from cxr.superres.model import load_model
from cxr.superres.tiles import tiled


@pytest.mark.parametrize(("name", "scale"), [("srcnn", 2), ("srcnn", 4), ("vdsr", 2)])
def test_onnxruntime_agrees_with_torch_at_any_size(tmp_path, name, scale):
    path = tmp_path / "network.onnx"
    main([name, "-o", str(path), "--scale", str(scale)])
    runtime = onnxruntime.InferenceSession(path)
    network = load_model(name).networks[scale]
    for shape in ((1, 1, 40, 40), (1, 1, 33, 57), (2, 1, 64, 21)):
        images = torch.rand(shape, generator=torch.Generator().manual_seed(0))
        (found,) = runtime.run(None, {"bicubic": images.numpy()})
        assert found.shape == shape
        assert abs(found - tiled(network, network.halo, images).numpy()).max() <= 1e-5
    described = runtime.get_modelmeta().custom_metadata_map
    assert described["scale"] == str(scale)
    assert json.loads(described["model"])["network"] == name


def test_a_scale_that_was_not_trained_is_told():
    model = load_model("srcnn")
    with pytest.raises(UserError, match="this srcnn was trained for x2, x3, x4, not for x5"):
        export.graph(model, 5)
