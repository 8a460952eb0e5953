"""VDSR: Kim, Lee and Lee, "Accurate Image Super-Resolution Using Very Deep Convolutional Networks", CVPR 2016."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.autograd import Function

from cxr.superres.kernels.convolution import conv_add, conv_relu, gradient_before_relu, gradients

DEPTH = 20
WIDTH = 64
ALIGNED = 8  # channels, at least, of what a GPU convolves fast


class VDSR(nn.Module):
    """Twenty 3x3 layers of 64 filters that learn what the bicubic image lacks (section 3.1): 665,921 parameters.

    Takes and returns float32 (N, 1, H, W) in [0, 1]; the input is the bicubically enlarged image. One network for all
    scales. Zero padding keeps the size. Under autocast the layers multiply in its type, without gradients all but the first.
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

    def forward(self, images: Tensor, above: int = 0, below: int = 0) -> Tensor:
        """Return the enhanced images without their first rows, `above`, and their last, `below`: at most `halo` of each."""
        kind = images.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else images.dtype
        layers = [layer for layer in self.layers if isinstance(layer, nn.Conv2d)]
        weights, biases = [layer.weight for layer in layers], [cast(Tensor, layer.bias) for layer in layers]
        with torch.autocast(kind, enabled=False):
            if torch.is_grad_enabled():
                residual = _learnt(images, weights, biases, dtype)[:, :, above : images.shape[2] - below]
            else:
                residual = _found(images, weights, biases, dtype, above, below)
        # The residual is small, so the 8 bits of bfloat16's mantissa suffice for it, but not for the sum.
        return images[:, :, above : images.shape[2] - below] + residual.to(images.dtype)


# bfloat16 holds half a grey level of the image at best, and what the first layer finds is smaller. So where maps are more than
# `dtype` holds, their layer multiplies (coarse + fine) (rough + rest) but for the last product of the four, as more channels.


def _in_parts(maps: Tensor, dtype: torch.dtype) -> Tensor:
    """Return `maps` (N, C, H, W) in three parts for weights of `_for_parts`: (N, 3 C, H, W) in `dtype`."""
    coarse = maps.to(dtype)
    fine = (maps - coarse).to(dtype)
    return torch.cat([coarse, fine, coarse], dim=1).contiguous(memory_format=torch.channels_last)


def _for_parts(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """Return `weight` (O, C, 3, 3) for maps of `_in_parts`: (O, 3 C, 3, 3) in `dtype`."""
    rough = weight.to(dtype)
    return torch.cat([rough, rough, (weight - rough).to(dtype)], dim=1)


def _learnt(images: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    """Return what the layers make of `images`, multiplying in `dtype`, for autograd."""
    first = weights[0]
    if dtype != images.dtype:
        images, first = _in_parts(images, dtype), _for_parts(first, dtype)
    cast_weights, cast_biases = [weight.to(dtype) for weight in weights[1:]], [bias.to(dtype) for bias in biases]
    if images.is_cuda:
        images, first = (_widened(each, 1, WIDTH) for each in (images, first))
        cast_weights[-1], cast_biases[-1] = (_widened(each[-1], 0, ALIGNED) for each in (cast_weights, cast_biases))
    residual: Tensor = _Residual.apply(images, first, *cast_weights, *cast_biases)  # type: ignore[no-untyped-call]
    return residual[:, :1]


def _widened(tensor: Tensor, axis: int, length: int) -> Tensor:
    """Return `tensor` with zeros behind it along `axis`: cuDNN's fast convolutions are for many channels, or whole groups."""
    return F.pad(tensor, [0, 0] * (tensor.ndim - 1 - axis) + [0, length - tensor.shape[axis]])


def _found(
    images: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], dtype: torch.dtype, above: int, below: int
) -> Tensor:
    """Return the same without the first rows, `above`, and the last, `below`, keeping nothing.

    The first layer is in float32, and the second gets its maps in parts: most of what `dtype` would lose is lost there.
    """

    def inner(maps: Tensor, done: int) -> Tensor:
        """Return the maps of layer number `done` without a row at the end where no later layer needs it: still in one piece."""
        left = DEPTH - done
        return maps[:, :, int(left < above) : maps.shape[2] - int(left < below)]

    maps, done = images, 0
    if dtype != images.dtype:
        maps = inner(conv_relu(maps, weights[0], biases[0], padding=1), 1)
        coarse = maps.to(dtype)
        fine = maps.sub_(coarse).to(dtype)
        rough = weights[1].to(dtype)
        maps = F.conv2d(coarse, (weights[1] - rough).to(dtype), biases[1].to(dtype), padding=1)
        maps = conv_add(fine, rough, maps, padding=1)
        maps, done = inner(conv_add(coarse, rough, maps, padding=1, relu=True), 2), 2
    for number in range(done, DEPTH - 1):
        maps = inner(conv_relu(maps, weights[number].to(dtype), biases[number].to(dtype), padding=1), number + 1)
    return inner(F.conv2d(maps, weights[-1].to(dtype), biases[-1].to(dtype), padding=1), DEPTH)


class _Residual(Function):
    """The layers, with their gradients one by one and in place: autograd would pass over the maps once more in each."""

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
        (grad_output,) = gradient
        of_weights: list[Tensor | None] = []
        of_biases: list[Tensor | None] = []
        of_images = None
        for number in reversed(range(len(weights))):
            wanted = (number == 0 and ctx.needs_input_grad[0], True, True)
            of_images, of_weight, of_bias = gradients(grad_output, inputs[number], weights[number], 1, wanted)
            of_weights.insert(0, of_weight)
            of_biases.insert(0, of_bias)
            if number > 0:
                grad_output = gradient_before_relu(grad_output, weights[number], inputs[number])  # which nobody needs any more
        return (of_images, *of_weights, *of_biases)


def as_multiplied(weights: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Return a VDSR's `weights` (a state_dict) rounded to `dtype` where, multiplying in that without gradients, it rounds them.

    What it then makes of an image in `dtype` is the same, and in float32 all but the same: most of what long training lets the
    two differ by is the rounding of weights (docs/speed.md, section Precision).
    """
    whole = {"layers.0.weight", "layers.0.bias", "layers.1.weight"}  # in float32, and in parts
    return {name: tensor if name in whole else tensor.to(dtype).to(tensor.dtype) for name, tensor in weights.items()}


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
