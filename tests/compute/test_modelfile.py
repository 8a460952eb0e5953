import pickle

import pytest
import torch
from safetensors.torch import save_file

from cxr.compute import modelfile
from cxr.foundation.errors import UserError

NETWORKS = {"x2": {"layer.weight": torch.rand(3, 4), "layer.bias": torch.rand(3)}, "x3": {"layer.weight": torch.rand(2, 2)}}


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "models/m.safetensors"
    modelfile.write(path, NETWORKS, {"network": "n", "scales": (2, 3)})
    networks, description = modelfile.read(path)
    assert description == {"network": "n", "scales": [2, 3]}
    assert networks.keys() == NETWORKS.keys()
    for name, weights in NETWORKS.items():
        assert weights.keys() == networks[name].keys()
        assert all(torch.equal(networks[name][key], tensor) for key, tensor in weights.items())


def test_equal_models_have_equal_bytes(tmp_path):
    texts = set()
    for i in range(8):
        description = dict([("b", 1), ("a", [1, 2]), ("c", {"y": 1, "x": 2})][:: 1 if i % 2 else -1])
        path = tmp_path / f"{i}.safetensors"
        channels_last = {"w": torch.arange(8.0).view(1, 2, 2, 2).contiguous(memory_format=torch.channels_last)}
        modelfile.write(path, {"n": channels_last}, description)
        texts.add(path.read_bytes())
    assert len(texts) == 1


class Bomb:
    def __reduce__(self):
        return pytest.fail, ("loading a model ran code",)


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, pickle.dumps(Bomb()), b"\x10\0\0\0\0\0\0\0{}"])
def test_a_file_that_is_no_model_is_refused_and_runs_no_code(tmp_path, content):
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"m\.safetensors is no model of this project"):
        modelfile.read(path)


def test_a_model_of_another_project_is_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    save_file({"w": torch.zeros(2)}, path)
    with pytest.raises(UserError, match="is no model of this project"):
        modelfile.read(path)


def test_a_missing_model_is_named(tmp_path):
    with pytest.raises(UserError, match=r"m\.safetensors is missing; run dvc repro"):
        modelfile.read(tmp_path / "m.safetensors")
