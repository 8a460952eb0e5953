"""Convolutions and their gradients for forms that are not run by autograd, with fewer passes over memory."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv2d_input


def available(maps: Tensor) -> bool:
    """Tell whether cuDNN's convolution with ReLU inside is in this torch and takes tensors like `maps`; it has no gradient."""
    on_gpu = maps.is_cuda and maps.dtype == torch.bfloat16 and not torch.is_grad_enabled()
    return on_gpu and hasattr(torch, "cudnn_convolution_relu")


def conv_relu(maps: Tensor, weight: Tensor, bias: Tensor, padding: int) -> Tensor:
    """Return relu(conv2d(maps, weight, bias)) with zeros around `maps`."""
    if available(maps):
        return torch.cudnn_convolution_relu(maps, weight, bias, [1, 1], [padding] * 2, [1, 1], 1)
    return F.conv2d(maps, weight, bias, padding=padding).relu_()


def sums(maps: Tensor) -> Tensor:
    """Return the sums of `maps` (N, C, H, W) over images and pixels (C), by a product, which a GPU does in less time."""
    pixels = maps.permute(0, 2, 3, 1).flatten(1, 2)
    ones = pixels.new_ones(len(pixels), 1, pixels.shape[1])
    return torch.bmm(ones, pixels).sum((0, 1))


def gradient_of_inputs(gradient: Tensor, weight: Tensor, passed: Tensor) -> Tensor:
    """Return the gradient of the inputs of conv2d(padding="same") times `passed`, from that of its result, `gradient`.

    All three have the same height and width. Where `passed` tells by ones and zeros what ReLU let pass, this is the gradient
    of what it made the inputs of.
    """
    around = [side // 2 for side in weight.shape[2:]]
    return F.conv2d(gradient, turned_round(weight), padding=around).mul_(passed)


def gradient_before_relu(gradient: Tensor, weight: Tensor, maps: Tensor) -> Tensor:
    """Return the gradient of what ReLU made `maps` of, from that of conv2d(maps, weight, padding="same"), `gradient`."""
    around = weight.shape[2] // 2
    grad_output: Tensor = conv2d_input(list(maps.shape), weight, gradient, padding=around)  # type: ignore[no-untyped-call]
    passed: Tensor = torch.ops.aten.threshold_backward.grad_input(grad_output, maps, 0, grad_input=grad_output)
    return passed


def turned_round(weight: Tensor) -> Tensor:
    """Return the filters (C, O, h, w) whose convolution leads the gradients of those of `weight` (O, C, h, w) back."""
    return weight.flip(2, 3).transpose(0, 1).contiguous(memory_format=torch.channels_last)
