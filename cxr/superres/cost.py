"""What a method costs: its weights, and its work for a pixel."""

import copy

import torch
from torch import Tensor, nn

from cxr.superres.model import Model, network_for
from cxr.superres.network import is_post_upsampling

SIDE = 12  # pixels of the image in which products are counted


def weights(model: Model, scale: int) -> int:
    """Return how many numbers the network of `model` for `scale` holds. Raises what `network_for` raises."""
    return sum(parameter.numel() for parameter in network_for(model, scale).parameters())


@torch.inference_mode()
def multiply_adds(model: Model, scale: int) -> float:
    """Return how many products convolutions of `model` add up for a pixel of the result. Raises what `network_for` raises."""
    network, counted = copy.deepcopy(network_for(model, scale)).cpu(), [0]

    def count(layer: nn.Module, _given: object, maps: Tensor) -> None:
        assert isinstance(layer, nn.Conv2d)
        counted[0] += layer.weight.numel() * maps.shape[-2] * maps.shape[-1]

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(count)
    low, bicubic = (torch.zeros(1, 1, side, side) for side in (SIDE, SIDE * scale))
    network(*((low, bicubic) if is_post_upsampling(network) else (bicubic,)))
    return counted[0] / (SIDE * scale) ** 2
