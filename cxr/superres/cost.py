"""What a method costs: its weights, its work for a pixel, and minutes of training."""

import copy
import json
from pathlib import Path

import torch
from torch import Tensor, nn

from cxr.superres.degradation.maps import beside
from cxr.superres.duration import digest, place
from cxr.superres.model import Model, network_for
from cxr.superres.network import is_post_upsampling, is_told
from cxr.superres.told import Told

SIDE = 12  # pixels of the image in which products are counted


def weights(model: Model, scale: int) -> int:
    """Return how many numbers the layers of `model` hold that make an image at `scale`. Raises what `network_for` raises."""
    return sum(parameter.numel() for layer, _ in _passed(model, scale) for parameter in layer.parameters())


def multiply_adds(model: Model, scale: int) -> float:
    """Return how many products convolutions of `model` add up for a pixel of the result. Raises what `network_for` raises."""
    return sum(layer.weight.numel() * pixels for layer, pixels in _passed(model, scale)) / (SIDE * scale) ** 2


def minutes(folder: Path, network: str, model: Path) -> float | None:
    """Return how long the training took that led to the file `model`; None where `folder` has no note of that model."""
    path = place(folder, network)
    if not path.is_file():
        return None
    noted = json.loads(path.read_text(encoding="utf-8"))
    return float(noted["minutes"]) if noted["model"] == digest(model) else None


@torch.inference_mode()
def _passed(model: Model, scale: int) -> list[tuple[nn.Conv2d, int]]:
    """Return the convolutions that an image of `SIDE` pixels a side goes through, with the pixels that each makes of it."""
    network, passed = copy.deepcopy(network_for(model, scale)).cpu(), list[tuple[nn.Conv2d, int]]()

    def count(layer: nn.Module, _given: object, maps: Tensor) -> None:
        assert isinstance(layer, nn.Conv2d)
        passed.append((layer, maps.shape[-2] * maps.shape[-1]))

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(count)
    low, bicubic = (torch.zeros(1, 1, side, side) for side in (SIDE, SIDE * scale))
    low = beside(low, [Told()]) if is_told(network) else low
    network(*((low, bicubic) if is_post_upsampling(network) else (bicubic,)))
    return passed
