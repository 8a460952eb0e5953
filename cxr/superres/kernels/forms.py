"""The forms in which a network runs: as published, or a faster one that computes the same."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from cxr.compute.device import multiplying_in

Choice = Callable[[torch.device, torch.dtype], str]


class Published(nn.Module):
    """A network as its file has it, multiplying in `precision` under autocast."""

    def __init__(self, network: nn.Module, precision: torch.dtype) -> None:
        super().__init__()
        self.network, self.precision = network, precision

    def forward(self, *images: Tensor) -> Tensor:
        """Return what the network makes of `images`, float32 (N, 1, H, W): one, or of a post-upsampling network two."""
        with multiplying_in(self.precision, images[0].device):
            enhanced: Tensor = self.network(*images)
        return enhanced


def published(_device: torch.device, _precision: torch.dtype) -> str:
    """Return the name of `Published`: the choice of networks that have no other form."""
    return "published"


class Forms(NamedTuple):
    """The forms of one network by name, and which of them is to learn and which to restore on a device in a precision."""

    by_name: Mapping[str, Callable[[Any, torch.dtype], nn.Module]]
    """Each shares the parameters of the network that it is made of, and multiplies in the precision given or a better one."""
    to_learn: Choice = published
    to_restore: Choice = published

    def learning(self, network: nn.Module, device: torch.device, precision: torch.dtype) -> nn.Module:
        """Return `network` in the form in which it learns."""
        return self.by_name[self.to_learn(device, precision)](network, precision)

    def restoring(self, network: nn.Module, device: torch.device, precision: torch.dtype) -> nn.Module:
        """Return `network` in the form in which it restores; it may have no gradients."""
        return self.by_name[self.to_restore(device, precision)](network, precision)


AS_PUBLISHED = Forms({"published": Published})
