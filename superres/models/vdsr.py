"""VDSR: Kim, Lee and Lee, "Accurate Image Super-Resolution Using Very Deep Convolutional Networks", CVPR 2016."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.autograd import Function

from superres.convolution import conv_relu, gradients

DEPTH = 20
WIDTH = 64


class VDSR(nn.Module):
    """Twenty 3x3 layers of 64 filters that learn what the bicubic image lacks (section 3.1): 665,921 parameters.

    Takes and returns float32 (N, 1, H, W) in [0, 1]; the input is the bicubically enlarged image. One network for all
    scales. Zero padding keeps the size. Under autocast every layer multiplies in its type.
    """

    halo = DEPTH
    """Pixels to each side that an output pixel depends on."""

    def __init__(self) -> None:
        super().__init__()
        widths = [1, *[WIDTH] * (DEPTH - 1), 1]
        layers = [nn.Conv2d(before, after, 3, padding=1) for before, after in pairwise(widths)]
        for layer in layers:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")  # section 5.2, as He et al.
            nn.init.zeros_(cast(Tensor, layer.bias))
        self.layers = nn.ModuleList(layers)

    def forward(self, images: Tensor) -> Tensor:
        """Return the enhanced images."""
        kind = images.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else images.dtype
        layers = [layer for layer in self.layers if isinstance(layer, nn.Conv2d)]
        weights = [layer.weight.to(dtype) for layer in layers]
        biases = [cast(Tensor, layer.bias).to(dtype) for layer in layers]
        maps = images
        if dtype != images.dtype:
            # bfloat16 holds half a grey level of the image at best, and what the first layer finds is smaller. So it multiplies
            # (coarse + fine) (rough + rest) but for the last product of the four.
            coarse, rough = images.to(dtype), weights[0]
            maps = torch.cat([coarse, (images - coarse).to(dtype), coarse], dim=1).contiguous(memory_format=torch.channels_last)
            weights[0] = torch.cat([rough, rough, (layers[0].weight - rough).to(dtype)], dim=1)
        with torch.autocast(kind, enabled=False):
            if torch.is_grad_enabled():
                residual: Tensor = _Residual.apply(maps, *weights, *biases)  # type: ignore[no-untyped-call]
            else:
                residual = _residual(maps, weights, biases)
        # The residual is small, so the 8 bits of bfloat16's mantissa suffice for it, but not for the sum.
        return images + residual.to(images.dtype)


def _residual(maps: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> Tensor:
    """Return what the layers make of `maps`, keeping nothing."""
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        maps = conv_relu(maps, weight, bias, padding=1)
    return F.conv2d(maps, weights[-1], biases[-1], padding=1)


class _Residual(Function):
    """`_residual` with its gradients, layer by layer in place: autograd would pass over the maps once more in each."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, *parameters: Tensor) -> Tensor:
        weights, biases = parameters[: len(parameters) // 2], parameters[len(parameters) // 2 :]
        inputs = [maps]
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            inputs.append(conv_relu(inputs[-1], weight, bias, padding=1))
        ctx.save_for_backward(*inputs, *weights)
        return F.conv2d(inputs[-1], weights[-1], biases[-1], padding=1)

    @staticmethod
    def backward(ctx: Any, *gradient: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        inputs, weights = saved[: len(saved) // 2], saved[len(saved) // 2 :]
        (behind,) = gradient
        of_weights: list[Tensor | None] = []
        of_biases: list[Tensor | None] = []
        for number in reversed(range(len(weights))):
            wanted = (number > 0 or ctx.needs_input_grad[0], True, True)
            before, of_weight, of_bias = gradients(behind, inputs[number], weights[number], 1, wanted)
            of_weights.insert(0, of_weight)
            of_biases.insert(0, of_bias)
            if before is not None:
                behind = before
            if number > 0:  # through the ReLU that made these inputs
                torch.ops.aten.threshold_backward.grad_input(behind, inputs[number], 0, grad_input=behind)
        return (behind if ctx.needs_input_grad[0] else None, *of_weights, *of_biases)


@torch.no_grad()
def start_from_bicubic(network: VDSR, seed: int) -> None:
    """Draw the first weights from `seed`, and let the untrained network return its input, the bicubic image.

    He initialisation as published, but for the last layer, which starts at zero: He's would add a residual as strong as
    the image, and a short run would spend its best steps on taking that back.
    """
    generator = Generator().manual_seed(seed)
    layers = [layer for layer in network.layers if isinstance(layer, nn.Conv2d)]
    for layer in layers[:-1]:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
    nn.init.zeros_(layers[-1].weight)
