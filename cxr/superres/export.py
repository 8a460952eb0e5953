"""Trained networks as ONNX, for programs without torch.

The graph takes `bicubic`, radiographs enlarged by bicubic interpolation, and returns `enhanced`: both float32 (N, 1, H, W) in
[0, 1], of any size.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from cxr.foundation.errors import UserError
from cxr.foundation.files import refuse_special, replacing
from cxr.superres.model import BUILDERS, Model

OPSET = 17  # of 2022: old enough for every runtime in use
IR_VERSION = 8  # of the same age
SHAPE: list[str | int | None] = ["images", 1, "height", "width"]


def graph(model: Model, scale: int) -> onnx.ModelProto:
    """Return the network of `model` for `scale`: its convolutions, and what lies between them.

    In float32, also where `model` multiplies in bfloat16. Raises UserError when it was not trained for `scale`.
    """
    if scale not in model.networks:
        raise UserError(f"this {model.name} was trained for x{', x'.join(map(str, model.networks))}, not for x{scale}")
    network = model.networks[scale]
    assert isinstance(network, nn.Module)
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    tensors: list[TensorProto] = []
    nodes: list[onnx.NodeProto] = []

    def add(operation: str, inputs: Sequence[str], **attributes: Any) -> str:
        name = f"{operation.lower()}_{len(nodes)}"
        nodes.append(helper.make_node(operation, inputs, [name], **attributes))
        return name

    def constant(value: object, name: str) -> str:
        tensors.append(numpy_helper.from_array(value, name))  # type: ignore[arg-type]
        return name

    maps = "bicubic"
    for number, layer in enumerate(layers):
        border = layer.kernel_size[0] // 2
        padding = [border] * 4
        if layer.padding_mode == "replicate":
            around = helper.make_tensor(f"border_{number}", TensorProto.INT64, [8], [0, 0, border, border] * 2)
            tensors.append(around)
            maps, padding = add("Pad", [maps, around.name], mode="edge"), [0] * 4
        weight = constant(layer.weight.detach().cpu().contiguous().numpy(), f"weight_{number}")
        assert layer.bias is not None
        bias = constant(layer.bias.detach().cpu().numpy(), f"bias_{number}")
        maps = add("Conv", [maps, weight, bias], pads=padding, kernel_shape=list(layer.kernel_size))
        if layer is not layers[-1]:
            maps = add("Relu", [maps])
    if BUILDERS[model.name].residual:
        maps = add("Add", ["bicubic", maps])
    limits = [helper.make_tensor(name, TensorProto.FLOAT, [], [value]) for name, value in (("black", 0.0), ("white", 1.0))]
    tensors.extend(limits)
    nodes.append(helper.make_node("Clip", [maps, "black", "white"], ["enhanced"]))
    given, returned = (helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPE) for name in ("bicubic", "enhanced"))
    made = helper.make_model(
        helper.make_graph(nodes, model.name, [given], [returned], initializer=tensors),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    described = json.dumps(dict(model.described), sort_keys=True)
    helper.set_model_props(made, {"scale": str(scale), "model": described, "use": "for research, not for diagnosis"})
    onnx.checker.check_model(made, full_check=True)
    return made


def write(path: Path, model: Model, scale: int, overwrite: bool = False) -> None:
    """Write the network of `model` for `scale` to `path`, whole or not at all; equal models give equal bytes.

    Raises UserError when it was not trained for `scale`, when `path` is the model's own file or none, and, without
    `overwrite`, when other bytes are there.
    """
    refuse_special(path)
    if path.is_dir():
        raise UserError(f"{path} is a folder; name another output")
    if model.path and path.exists() and path.samefile(model.path):
        raise UserError(f"{model.path} would be overwritten; name another output")
    made = graph(model, scale).SerializeToString(deterministic=True)
    if not overwrite and os.path.lexists(path) and (not path.exists() or path.read_bytes() != made):
        raise UserError(f"{path} is there already, and not this network; --overwrite replaces it")
    with replacing(path) as partial:
        partial.write_bytes(made)
