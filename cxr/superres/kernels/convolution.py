"""Convolutions and their gradients, for networks that run their layers back by hand: fewer passes over memory than autograd."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.backends.cpu import get_cpu_capability


def conv_relu(maps: Tensor, weight: Tensor, bias: Tensor, padding: int) -> Tensor:
    """Return relu(conv2d(maps, weight, bias)) with zeros around `maps`."""
    if _in_one_pass(maps) and not torch.is_grad_enabled():
        sides = [padding] * 2, [1, 1], [1, 1]  # padding, stride, dilation
        fused: Tensor = torch.ops.mkldnn._convolution_pointwise(maps, weight, bias, *sides, 1, "relu", [], None)
        return fused
    if maps.is_cuda and maps.dtype == torch.bfloat16 and not torch.is_grad_enabled():
        return torch.cudnn_convolution_relu(maps, weight, bias, [1, 1], [padding] * 2, [1, 1], 1)
    return F.conv2d(maps, weight, bias, padding=padding).relu_()


def conv_add(maps: Tensor, weight: Tensor, added: Tensor, padding: int, relu: bool = False) -> Tensor:
    """Return conv2d(maps, weight) + added, or relu of that, with zeros around `maps`; `added` is used up."""
    layout = torch.channels_last  # otherwise torch would first add and then, in bfloat16, find that it cannot
    if _in_one_pass(maps) and added.is_contiguous(memory_format=layout) and not torch.is_grad_enabled():
        maps = maps.contiguous(memory_format=layout)
        sides = [padding] * 2, [1, 1], [1, 1]  # padding, stride, dilation
        binary = torch.ops.mkldnn._convolution_pointwise_.binary
        fused: Tensor = binary(added, maps, weight, None, *sides, 1, "add", None, "relu" if relu else None, [], None)
        return fused
    added.add_(F.conv2d(maps, weight, padding=padding))
    return added.relu_() if relu else added


def gradients(
    gradient: Tensor, maps: Tensor, weight: Tensor, padding: int, wanted: tuple[bool, bool, bool]
) -> Sequence[Tensor | None]:
    """Return the gradients of `maps`, of `weight` and of the bias of conv2d(maps, weight, bias), those that are `wanted`.

    `gradient` is that of the result.
    """
    of_maps, of_weight, of_bias = wanted
    products = of_weight and _better_as_products(maps, weight)
    apart = of_bias and (gradient.is_cuda or products)
    mask = [of_maps, of_weight and not products, of_bias and not apart]
    found: Sequence[Tensor | None] = (None, None, None)
    if any(mask):
        biases, around = [len(weight)], [padding] * 2
        found = torch.ops.aten.convolution_backward(
            gradient, maps, weight, biases, [1, 1], around, [1, 1], False, [0, 0], 1, mask
        )
    weights = _of_weights(gradient, maps, weight.shape[-1], padding) if products else found[1]
    return found[0], weights, _sums(gradient) if apart else found[2]


def _better_as_products(maps: Tensor, weight: Tensor) -> bool:
    """Tell whether the gradient of `weight` takes less time as matrix products: VDSR's does where there is AVX2 and no more."""
    like_vdsr = min(weight.shape[:2]) >= 32 and weight.shape[2:] == (3, 3)
    return like_vdsr and maps.dtype == torch.float32 and maps.device.type == "cpu" and get_cpu_capability() == "AVX2"


def _of_weights(gradient: Tensor, maps: Tensor, side: int, padding: int) -> Tensor:
    """Return the gradient of the weights (O, C, side, side), a matrix product for each image and each row of them."""
    padded = F.pad(maps.permute(0, 2, 3, 1), (0, 0, *[padding] * 4)).contiguous()
    grad_output = gradient.permute(0, 2, 3, 1)
    count, height, width, outputs = grad_output.shape
    channels = padded.shape[-1]
    # Each pixel and those to its right, whose channels lie one behind the other.
    shape, strides = (count, padded.shape[1], width, side * channels), (*padded.stride()[:2], channels, 1)
    wide = padded.as_strided(shape, strides).contiguous()
    rows = [wide[:, top : top + height].flatten(1, 2).mT @ grad_output.flatten(1, 2) for top in range(side)]
    return torch.stack([row.sum(0) for row in rows]).view(side, side, channels, outputs).permute(3, 2, 0, 1)


def _sums(maps: Tensor) -> Tensor:
    """Return the sums of `maps` (N, C, H, W) over images and pixels (C), by a product, which a GPU does in less time."""
    pixels = maps.permute(0, 2, 3, 1).flatten(1, 2)
    ones = pixels.new_ones(len(pixels), 1, pixels.shape[1])
    return torch.bmm(ones, pixels).sum((0, 1))


def gradient_of_inputs(gradient: Tensor, weight: Tensor, passed: Tensor) -> Tensor:
    """Return the gradient of the inputs of conv2d(padding="same") times `passed`, from that of its result, `gradient`.

    All three have the same height and width. Where `passed` tells by ones and zeros what ReLU let pass, this is the gradient
    of what it made the inputs of.
    """
    # Multiplying goes into the convolution only forwards: it is the same with the filters turned round.
    turned = turned_round(weight)
    around = [side // 2 for side in weight.shape[2:]]
    if _in_one_pass(passed):
        sides = around, [1, 1], [1, 1]  # padding, stride, dilation
        binary = torch.ops.mkldnn._convolution_pointwise.binary
        fused: Tensor = binary(gradient, passed, turned, None, *sides, 1, "mul", None, None, [], None)
        return fused
    return F.conv2d(gradient, turned, padding=around).mul_(passed)


def gradient_before_relu(gradient: Tensor, weight: Tensor, maps: Tensor) -> Tensor:
    """Return the gradient of what ReLU made `maps` of, from that of conv2d(maps, weight, padding="same"), `gradient`.

    `maps` are used up.
    """
    if maps.is_cuda:
        grad_output, _, _ = gradients(gradient, maps, weight, weight.shape[2] // 2, (True, False, False))
        passed: Tensor = torch.ops.aten.threshold_backward.grad_input(grad_output, maps, 0, grad_input=grad_output)
        return passed
    return gradient_of_inputs(gradient, weight, torch.gt(maps, 0, out=maps))


def turned_round(weight: Tensor) -> Tensor:
    """Return the filters (C, O, h, w) whose convolution leads the gradients of those of `weight` (O, C, h, w) back."""
    return weight.flip(2, 3).transpose(0, 1).contiguous(memory_format=torch.channels_last)


def _in_one_pass(maps: Tensor) -> bool:
    """Tell whether oneDNN, which applies ReLU to a result that is still in the cache, can take `maps`."""
    if maps.device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    return maps.dtype == torch.float32 or (maps.dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported())
