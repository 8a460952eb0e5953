"""Trained networks as ONNX, for programs without torch.

The graph takes `bicubic`, radiographs enlarged by bicubic interpolation, or, of a post-upsampling network, `low`, those that
are to be enlarged. It returns `enhanced`. All are float32 (N, 1, H, W) in [0, 1], of any size. One that is told how radiographs
arrived takes `told` as well, float32 (N, MAPS), as `cxr.superres.degradation.maps` has it.
"""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from cxr.foundation.errors import UserError
from cxr.foundation.files import refuse_special, replacing
from cxr.superres.degradation.enlargement import interpolated
from cxr.superres.degradation.maps import MAPS
from cxr.superres.model import Model, network_for
from cxr.superres.network import is_post_upsampling, is_told
from cxr.superres.networks.edsr import EDSR, Block
from cxr.superres.networks.srcnn import SRCNN
from cxr.superres.networks.vdsr import VDSR

OPSET = 17  # of 2022: old enough for every runtime in use
IR_VERSION = 8  # of the same age
SHAPE: list[str | int | None] = ["images", 1, "height", "width"]
LARGER: list[str | int | None] = ["images", 1, "rows", "columns"]
TOLD = "told"


def graph(model: Model, scale: int) -> onnx.ModelProto:
    """Return the network of `model` for `scale`: its convolutions, and what lies between them.

    In float32, also where `model` multiplies in bfloat16. Raises UserError when it was not trained for `scale`, or when nothing
    here says what lies between the convolutions of such a network.
    """
    network, drawn = network_for(model, scale), _Graph()
    if type(network) not in DRAWINGS:
        known = ", ".join(each.__name__ for each in DRAWINGS)
        raise UserError(f"{model.name} cannot be written as ONNX; export one of {known}, or add it to cxr/superres/export.py")
    given, size = ("low", LARGER) if is_post_upsampling(network) else ("bicubic", SHAPE)
    drawn.clipped(DRAWINGS[type(network)](drawn, network, given, scale), "enhanced")
    inputs = [helper.make_tensor_value_info(given, TensorProto.FLOAT, SHAPE)]
    if is_told(network):
        inputs.append(helper.make_tensor_value_info(TOLD, TensorProto.FLOAT, ["images", MAPS]))
    outputs = helper.make_tensor_value_info("enhanced", TensorProto.FLOAT, size)
    made = helper.make_model(
        helper.make_graph(drawn.nodes, model.name, inputs, [outputs], initializer=drawn.tensors),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    described = json.dumps(dict(model.described), sort_keys=True)
    helper.set_model_props(made, {"scale": str(scale), "model": described, "use": "for research, not for diagnosis"})
    onnx.checker.check_model(made, full_check=True)
    return made


class _Graph:
    """Nodes and constants of a graph, as they are added."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[TensorProto] = []

    def add(self, operation: str, inputs: Sequence[str], result: str = "", **attributes: Any) -> str:
        """Return the name of what `operation` makes of `inputs`."""
        name = result or f"{operation.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operation, inputs, [name], **attributes))
        return name

    def constant(self, value: Any) -> str:
        """Return the name of an array."""
        self.tensors.append(numpy_helper.from_array(value, f"constant_{len(self.tensors)}"))
        return self.tensors[-1].name

    def convolved(self, maps: str, layer: nn.Module) -> str:
        """Return the name of what the convolution `layer` makes of `maps`."""
        assert isinstance(layer, nn.Conv2d)
        assert layer.bias is not None
        border = layer.kernel_size[0] // 2
        padding = [border] * 4
        if layer.padding_mode == "replicate":
            around = self.constant(np.array([0, 0, border, border] * 2))
            maps, padding = self.add("Pad", [maps, around], mode="edge"), [0] * 4
        weights = [self.constant(each.detach().cpu().contiguous().numpy()) for each in (layer.weight, layer.bias)]
        return self.add("Conv", [maps, *weights], pads=padding, kernel_shape=list(layer.kernel_size))

    def clipped(self, images: str, result: str = "") -> str:
        """Return the name of `images` without what is below 0 or above 1."""
        limits = [self.constant(np.array(value, np.float32)) for value in (0, 1)]
        return self.add("Clip", [images, *limits], result)


def _srcnn(drawn: _Graph, network: SRCNN, bicubic: str, _scale: int) -> str:
    """Return the name of what `network` makes of the images `bicubic`."""
    return _layers(drawn, network, bicubic)


def _vdsr(drawn: _Graph, network: VDSR, bicubic: str, _scale: int) -> str:
    """Return the name of the images `bicubic` and what `network` adds to them."""
    return drawn.add("Add", [bicubic, _layers(drawn, network, bicubic)])


def _layers(drawn: _Graph, network: nn.Module, maps: str) -> str:
    """Return the name of what the convolutions of `network`, with ReLU between them, make of `maps`."""
    *layers, last = (layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
    for layer in layers:
        maps = drawn.add("Relu", [drawn.convolved(maps, layer)])
    return drawn.convolved(maps, last)


def _edsr(drawn: _Graph, network: EDSR, low: str, scale: int) -> str:
    """Return the name of the bicubically enlarged images `low` and what `network` adds to them."""
    low = drawn.clipped(low)
    maps = first = drawn.convolved(_beside(drawn, low) if network.told else low, network.head)
    for block in cast(Iterable[Block], network.blocks):
        inside = drawn.add("Relu", [drawn.convolved(maps, block.first)])
        maps = drawn.add("Add", [maps, drawn.convolved(inside, block.second)])
    maps = drawn.add("Add", [first, drawn.convolved(maps, network.last)])
    pixels = drawn.convolved(maps, network.tails[f"x{scale}"])
    added = drawn.add("DepthToSpace", [pixels], blocksize=scale, mode="CRD")
    return drawn.add("Add", [drawn.clipped(_enlarged(drawn, low, scale)), added])


def _beside(drawn: _Graph, low: str) -> str:
    """Return the name of the images `low` and, beside them, maps of what is TOLD of each."""
    one_each = drawn.add("Unsqueeze", [TOLD, drawn.constant(np.array([2, 3]))])
    nothing = drawn.add("Mul", [low, drawn.constant(np.array(0, np.float32))])
    return drawn.add("Concat", [low, drawn.add("Add", [nothing, one_each])], axis=1)


def _enlarged(drawn: _Graph, low: str, scale: int) -> str:
    """Return the name of the images `low` as `cxr.superres.degradation.interpolated` enlarges them.

    It is a convolution. ONNX's own Resize may work out in float32 where a pixel lies, and errs at x3 by the more the larger the
    image is.
    """
    point = torch.zeros(1, 1, 9, 9, dtype=torch.float64)
    point[..., 4, 4] = 1
    reached = interpolated(point, scale).view(9, scale, 9, scale)[2:7, :, 2:7]  # by one pixel, far from any edge
    filters = drawn.constant(reached.flip(0, 2).permute(1, 3, 0, 2).reshape(-1, 1, 5, 5).float().contiguous().numpy())
    one = helper.make_tensor("one", TensorProto.FLOAT, [1], [1])
    ones = drawn.add("ConstantOfShape", [drawn.add("Shape", [low])], value=one)
    weighed, weights = (drawn.add("Conv", [each, filters], pads=[2] * 4, kernel_shape=[5, 5]) for each in (low, ones))
    # Beyond an edge is nothing, and the pixels that are there weigh so much more.
    return drawn.add("DepthToSpace", [drawn.add("Div", [weighed, weights])], blocksize=scale, mode="CRD")


# How each network is drawn: of the name of its input and its scale, the name of its output before that is clipped.
DRAWINGS: Mapping[type[nn.Module], Callable[[_Graph, Any, str, int], str]] = {SRCNN: _srcnn, VDSR: _vdsr, EDSR: _edsr}


def write(path: Path, model: Model, scale: int, overwrite: bool = False) -> None:
    """Write the network of `model` for `scale` to `path`, whole or not at all; equal models give equal bytes.

    Raises UserError when it was not trained for `scale` or is of an unknown kind, when `path` is the model's own file or none,
    and, without `overwrite`, when other bytes are there.
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
