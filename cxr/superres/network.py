"""What every super-resolution network says of itself, and how it lies in memory."""

import torch
from torch import nn

FEW = 4
"""Channels, at most, of the image and of maps beside it."""


class SuperResolution(nn.Module):
    """A network that takes and returns radiographs, float32 (N, 1, H, W) in [0, 1].

    Most refine an image that bicubic interpolation has enlarged. One that is `post_upsampling` works on the low-resolution
    image, which has fewer pixels, and enlarges last: it takes that image, and the bicubically enlarged one, to which it adds.
    """

    halo: int
    """Pixels to each side, of the image that its layers see, that an output pixel depends on."""
    post_upsampling = False
    told = False
    """Whether the low-resolution image has maps beside it, of how it arrived (`cxr.superres.degradation.maps`)."""


def is_told(network: nn.Module) -> bool:
    """Tell whether `network` is told how a radiograph arrived."""
    return isinstance(network, SuperResolution) and network.told


def is_post_upsampling(network: nn.Module) -> bool:
    """Tell whether `network` takes the low-resolution image and the bicubically enlarged one, and not the latter alone."""
    return isinstance(network, SuperResolution) and network.post_upsampling


def laid_out(network: nn.Module, device: torch.device) -> nn.Module:
    """Return `network` on `device`, its weights in the layout in which convolutions are fastest: channels last.

    The first layer of a post-upsampling network stays as it is on a CPU: in that layout the last bits of what oneDNN makes of
    few channels vary with the size of the image, and a tile should give what the whole image gives.
    """
    network = network.to(device)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            stays = device.type == "cpu" and layer.in_channels <= FEW and is_post_upsampling(network)
            nn.utils.convert_conv2d_weight_memory_format(layer, torch.contiguous_format if stays else torch.channels_last)
    return network
