"""Model files that somebody made to do harm: one line each, before anything is built of them."""

import json
import os
import socket
import struct
import subprocess
import sys

import pytest
import torch

from cxr.compute import modelfile
from cxr.foundation.errors import UserError
from cxr.superres import model as model_module
from cxr.superres.model import load_model
from cxr.superres.networks.srcnn import SRCNN
from cxr.superres.networks.vdsr import VDSR

GOOD = {"network": "srcnn", "mapping": 5, "scales": [2], "noise": [0.0], "precision": "float32"}


def written(path, text, weights=None):
    """Write a safetensors file by hand, with `text` for its description."""
    tensors = {f"x2.{key}": tensor for key, tensor in (weights or SRCNN().state_dict()).items()}
    header, at = {"__metadata__": {"model": text}}, 0
    for name, tensor in tensors.items():
        size = 4 * tensor.numel()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [at, at + size]}
        at += size
    head = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head + b"".join(tensor.numpy().tobytes() for tensor in tensors.values()))
    return path


@pytest.fixture
def nothing_is_built(monkeypatch):
    builders = {
        name: builder._replace(build=lambda _: pytest.fail("a network was built"))
        for name, builder in model_module.BUILDERS.items()
    }
    monkeypatch.setattr(model_module, "BUILDERS", builders)


def test_the_file_written_by_hand_is_good(tmp_path):
    assert load_model(written(tmp_path / "m", json.dumps(GOOD))).networks.keys() == {2}


@pytest.mark.usefixtures("nothing_is_built")
@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"network": "resnet"}, "description.network is 'resnet', none of srcnn, vdsr"),
        ({"network": ["srcnn"]}, r"description.network is \['srcnn'\]"),
        ({"network": {"a": 1}}, "description.network is {'a': 1}"),
        ({"network": "x\n\x1b[31m" * 9999}, r"description.network is 'x\\n"),
        ({"network": None}, "description.network is None"),
        ({"mapping": 10**9}, "description.mapping is 1000000000; expected one of 1, 3, 5"),
        ({"mapping": "5"}, "description.mapping is '5'"),
        ({"mapping": True}, "description.mapping is True"),
        ({"ranges": 5}, "description.ranges is 5; expected the keys clean, blur"),
        ({"ranges": {"noise": 6}}, "description.ranges.clean is missing"),
        ({"mapping": ...}, "description.mapping is missing"),
        ({"scales": 2}, "description.scales is 2; expected a list"),
        ({"scales": []}, r"description.scales is \[\]; expected .* at least one"),
        ({"scales": [1000]}, r"description.scales\[0\] is 1000; expected one of 2, 3, 4"),
        ({"scales": [2, 2]}, r"description.scales is \[2, 2\]"),
        ({"scales": [2] * 100_000}, r"description.scales is \[2, "),
        ({"scales": [True]}, r"description.scales\[0\] is True"),
        ({"scales": ...}, "description.scales is missing"),
        ({"noise": "0"}, "description.noise is '0'"),
        ({"noise": [-1]}, r"description.noise\[0\] is -1"),
        ({"noise": [1e308]}, r"description.noise\[0\] is 1e\+308"),
        ({"noise": [[0]]}, r"description.noise\[0\] is \[0\]"),
        ({"precision": "float8"}, "description.precision is 'float8'; expected one of float32, bfloat16"),
        ({"precision": ...}, "description.precision is missing"),
        ({"scales": [2, 3]}, "lacks weights x3"),
        ({"scales": [4]}, "lacks weights x4"),
        ({"network": "vdsr"}, "lacks weights vdsr"),
    ],
)
def test_a_description_is_checked_before_anything_is_built(tmp_path, change, key):
    described = {name: value for name, value in {**GOOD, **change}.items() if value is not ...}
    with pytest.raises(UserError, match=key) as error:
        load_model(written(tmp_path / "m.safetensors", json.dumps(described)))
    said = str(error.value)
    assert said.startswith(f"{tmp_path / 'm.safetensors'}")
    assert said.isprintable()
    assert len(said) < 400


@pytest.mark.usefixtures("nothing_is_built")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        '[["network", "srcnn"]]',
        "{",
        json.dumps({**GOOD, "noise": [float("nan")]}),
        json.dumps({**GOOD, "settings": float("inf")}),
        json.dumps(GOOD)[:-1] + ', "settings": ' + "[" * 9 + "]" * 9 + "}",
        json.dumps(GOOD)[:-1] + ', "settings": ' + "[" * 100_000 + "]" * 100_000 + "}",
        json.dumps(GOOD)[:-1] + ', "settings": ' + '{"a":' * 100_000 + "1" + "}" * 100_000 + "}",
        json.dumps(GOOD)[:-1] + ', "mapping": ' + "9" * 100_000 + "}",
    ],
)
def test_a_description_that_is_none_is_told_in_one_line(tmp_path, text):
    with pytest.raises(UserError, match=r"m\.safetensors is no model of this project") as error:
        load_model(written(tmp_path / "m.safetensors", text))
    assert str(error.value).isprintable()


def test_weights_beyond_the_description_are_refused_unread(tmp_path, monkeypatch):
    built = []
    builder = model_module.BUILDERS["vdsr"]
    monkeypatch.setitem(model_module.BUILDERS, "vdsr", builder._replace(build=lambda _: built.append(1) or VDSR()))
    described = {"network": "vdsr", "scales": [2], "noise": [0.0], "precision": "float32"}
    others = {f"n{number}": {"a": torch.zeros(1)} for number in range(2000)}
    modelfile.write(tmp_path / "m", {"vdsr": VDSR().state_dict(), **others}, described)
    with pytest.raises(UserError, match="holds weights 'n0', which its description does not name"):
        load_model(tmp_path / "m")
    assert not built


@pytest.mark.parametrize("kind", [torch.float8_e4m3fn, torch.int64, torch.float64, torch.bool])
def test_weights_of_other_kinds_are_refused(tmp_path, kind):
    weights = {key: tensor.to(kind) for key, tensor in SRCNN().state_dict().items()}
    modelfile.write(tmp_path / "m", {"x2": weights}, GOOD)
    with pytest.raises(UserError, match="holds weights that are no numbers of 16 or 32 bits"):
        load_model(tmp_path / "m")


LOAD = """
import resource, sys
from cxr.compute import modelfile
from cxr.foundation.errors import one_line_errors
from cxr.superres.model import load_model
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    with one_line_errors():
        load_model(sys.argv[1])
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def text_of_100_mb(path):
    written(path, json.dumps({**GOOD, "settings": "x" * 100_000_000}))


def weights_of_60_gb(path):
    head = json.dumps(
        {
            "__metadata__": {"model": json.dumps(GOOD)},
            "x2.a": {"dtype": "F32", "shape": [15 * 10**9], "data_offsets": [0, 60 * 10**9]},
        }
    )
    path.write_bytes(struct.pack("<Q", len(head)) + head.encode())
    os.truncate(path, 8 + len(head) + 60 * 10**9)  # which takes no room on the disk


@pytest.mark.parametrize("large", [text_of_100_mb, weights_of_60_gb])
def test_a_large_file_takes_no_memory(tmp_path, large):
    large(tmp_path / "m.safetensors")
    done = subprocess.run([sys.executable, "-c", LOAD, tmp_path / "m.safetensors"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"{tmp_path}/m.safetensors" in done.stderr
    assert int(done.stdout) * (1 if sys.platform == "linux" else 1 / 1024) < 20_000  # kB


@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "folder"])
def test_only_files_are_opened(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    path = {"device": "/dev/zero"}.get(kind, kind)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        os.mkdir(path)  # noqa: PTH102
    elif kind == "socket":
        bound = socket.socket(socket.AF_UNIX)
        bound.bind(path)
    with pytest.raises(UserError, match=f"^{path} is a {kind}; name a"):
        load_model(path)
