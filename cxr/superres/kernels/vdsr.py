"""VDSR on a CUDA GPU: its backward pass by hand, with fewer passes over memory than autograd, and its forms."""

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.grad import conv2d_input, conv2d_weight

from cxr.superres.kernels.convolution import conv_relu, gradient_before_relu, sums
from cxr.superres.kernels.forms import Forms, Published
from cxr.superres.networks.vdsr import VDSR, WIDTH

ALIGNED = 8  # channels, at least, of what a GPU convolves fast


class ByHand(nn.Module):
    """VDSR that learns, multiplying in `precision`: ReLU in place, and layer after layer back.

    bfloat16 holds half a grey level of the image at best, and what the first layer finds is smaller. So that layer gets both
    image and weights in two parts of `precision`, x = c + f and w = r + s, and multiplies all but the last of

        w x  =  r c + r f + s c + s f

    as three channels instead of one.
    """

    def __init__(self, network: VDSR, precision: torch.dtype) -> None:
        super().__init__()
        self.network, self.precision = network, precision

    def forward(self, images: Tensor) -> Tensor:
        """Return the enhanced images, float32 (N, 1, H, W)."""
        dtype, (weights, biases) = self.precision, _parameters(self.network)
        inputs, first = images, weights[0]
        if dtype != images.dtype:
            inputs, first = _in_parts(images, dtype), _for_parts(first, dtype)
        cast_weights, cast_biases = [weight.to(dtype) for weight in weights[1:]], [bias.to(dtype) for bias in biases]
        if images.is_cuda:
            inputs, first = (_widened(each, 1, WIDTH) for each in (inputs, first))
            cast_weights[-1], cast_biases[-1] = (_widened(each[-1], 0, ALIGNED) for each in (cast_weights, cast_biases))
        residual: Tensor = _Residual.apply(inputs, first, *cast_weights, *cast_biases)  # type: ignore[no-untyped-call]
        return images + residual[:, :1].to(images.dtype)


class InOnePass(nn.Module):
    """VDSR that restores, multiplying in `precision` but for its first layer, with ReLU inside its convolutions."""

    def __init__(self, network: VDSR, precision: torch.dtype) -> None:
        super().__init__()
        self.network, self.precision = network, precision

    def forward(self, images: Tensor) -> Tensor:
        """Return the enhanced images, float32 (N, 1, H, W)."""
        dtype, (weights, biases) = self.precision, _parameters(self.network)
        maps = conv_relu(images, weights[0], biases[0], padding=1).to(dtype)
        for weight, bias in zip(weights[1:-1], biases[1:-1], strict=True):
            maps = conv_relu(maps, weight.to(dtype), bias.to(dtype), padding=1)
        residual = F.conv2d(maps, weights[-1].to(dtype), biases[-1].to(dtype), padding=1)
        return images + residual.to(images.dtype)


def _to_learn(device: torch.device, _precision: torch.dtype) -> str:
    return "by_hand" if device.type == "cuda" else "published"


def _to_restore(device: torch.device, _precision: torch.dtype) -> str:
    return "in_one_pass" if device.type == "cuda" else "published"


FORMS = Forms({"published": Published, "by_hand": ByHand, "in_one_pass": InOnePass}, _to_learn, _to_restore)


def _parameters(network: VDSR) -> tuple[list[Tensor], list[Tensor]]:
    """Return the weights and the biases of the layers in order."""
    layers = [cast(nn.Conv2d, layer) for layer in network.layers]
    return [layer.weight for layer in layers], [cast(Tensor, layer.bias) for layer in layers]


def _in_parts(maps: Tensor, dtype: torch.dtype) -> Tensor:
    """Return `maps` (N, C, H, W) in three parts for weights of `_for_parts`: (N, 3 C, H, W) in `dtype`."""
    coarse = maps.to(dtype)
    fine = (maps - coarse).to(dtype)
    return torch.cat([coarse, fine, coarse], dim=1).contiguous(memory_format=torch.channels_last)


def _for_parts(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """Return `weight` (O, C, 3, 3) for maps of `_in_parts`: (O, 3 C, 3, 3) in `dtype`."""
    rough = weight.to(dtype)
    return torch.cat([rough, rough, (weight - rough).to(dtype)], dim=1)


def _widened(tensor: Tensor, axis: int, length: int) -> Tensor:
    """Return `tensor` with zeros behind it along `axis`: cuDNN's fast convolutions are for many channels, or whole groups."""
    return F.pad(tensor, [0, 0] * (tensor.ndim - 1 - axis) + [0, length - tensor.shape[axis]])


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
            maps, weight = inputs[number], weights[number]
            of_weights.insert(0, conv2d_weight(maps, weight.shape, grad_output, padding=1))  # type: ignore[no-untyped-call]
            of_biases.insert(0, sums(grad_output))
            if number > 0:
                grad_output = gradient_before_relu(grad_output, weight, maps)
            elif ctx.needs_input_grad[0]:
                of_images = conv2d_input(maps.shape, weight, grad_output, padding=1)  # type: ignore[no-untyped-call]
        return (of_images, *of_weights, *of_biases)
