"""SRCNN: Dong, Loy, He and Tang, "Image Super-Resolution Using Deep Convolutional Networks", TPAMI 38(2), 2016."""

from dataclasses import dataclass
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

# Patch extraction and reconstruction (section 3): the sides of their filters; and the numbers of maps.
EXTRACTION, RECONSTRUCTION = 9, 5
WIDTHS = (64, 32)
Mapping = Literal[1, 3, 5]


@dataclass(frozen=True)
class Architecture:
    """Section `srcnn` of params.yaml: which of the published networks, by the side of the filters in the middle."""

    mapping: Mapping


class SRCNN(nn.Module):
    """The network 9-5-5 with 64 and 32 filters: 57,281 parameters, for one scale; or 9-1-5 or 9-3-5 (section 4.3.3).

    Takes and returns float32 (N, 1, H, W) in [0, 1]; the input is the bicubically enlarged image. Every layer repeats its
    border pixels outwards, as the authors' test code does, so that the size is kept.
    """

    def __init__(self, mapping: Mapping = 5) -> None:
        super().__init__()
        self.halo = EXTRACTION // 2 + mapping // 2 + RECONSTRUCTION // 2
        """Pixels to each side that an output pixel depends on."""
        self.extraction = nn.Conv2d(1, WIDTHS[0], EXTRACTION, padding="same", padding_mode="replicate")
        self.mapping = nn.Conv2d(WIDTHS[0], WIDTHS[1], mapping, padding="same", padding_mode="replicate")
        self.reconstruction = nn.Conv2d(WIDTHS[1], 1, RECONSTRUCTION, padding="same", padding_mode="replicate")
        for layer in self._layers():
            nn.init.normal_(layer.weight, std=0.001)  # section 3.3
            nn.init.zeros_(cast(Tensor, layer.bias))

    def forward(self, images: Tensor) -> Tensor:
        """Return the enhanced images."""
        if torch.is_autocast_enabled(images.device.type):
            return self._around_level(images, torch.get_autocast_dtype(images.device.type))
        enhanced: Tensor = self.reconstruction(torch.relu(self.mapping(torch.relu(self.extraction(images)))))
        return enhanced

    def _around_level(self, images: Tensor, dtype: torch.dtype) -> Tensor:
        """Return the same as float32 would, multiplying in `dtype`, though that holds half a grey level at best.

        All layers carry the image, and with it its level, far above the detail that matters. So each one's answer to the
        level alone, a few products, is computed in float32, and only what the image adds to that goes through `dtype`.
        """
        with torch.autocast(images.device.type, enabled=False):
            level = images.mean((2, 3)).detach()
            detail = (images - level[..., None, None]).to(dtype)
            for layer in self._layers():
                answer = level @ layer.weight.sum((2, 3)).T + cast(Tensor, layer.bias)
                detail = _convolved(detail, layer.weight.to(dtype))
                if layer is not self.reconstruction:
                    level = answer.relu()
                    # relu(detail + answer) - level without sums of large and small; the maximum of the two is written as
                    # max(a, b) = a + relu(b - a), whose gradient costs a third of torch.maximum's
                    raised = detail + (answer - level).to(dtype)[..., None, None]
                    detail = raised + torch.relu(-level.to(dtype)[..., None, None] - raised)
            return detail.float() + answer[..., None, None]

    def _layers(self) -> tuple[nn.Conv2d, nn.Conv2d, nn.Conv2d]:
        return self.extraction, self.mapping, self.reconstruction


def _convolved(maps: Tensor, weight: Tensor) -> Tensor:
    return F.conv2d(F.pad(maps, (weight.shape[-1] // 2,) * 4, mode="replicate"), weight)


@torch.no_grad()
def start_from_bicubic(network: SRCNN, seed: int) -> None:
    """Draw the first weights from `seed` such that the untrained network returns its input, the bicubic image.

    With the published start, N(0, 0.001), Adam spends most of a short run learning to copy the image. Here one filter of
    each layer copies it from the start (grey levels are not negative, so ReLU lets them pass) and the others start as He et
    al. propose ("Delving Deep into Rectifiers", ICCV 2015, section 2.2), unheard by the last layer. The network itself,
    its layers and parameters, are as published.
    """
    generator = Generator().manual_seed(seed)
    for layer in (network.extraction, network.mapping):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
        _copy_first_map(layer)
    nn.init.zeros_(network.reconstruction.weight)
    _copy_first_map(network.reconstruction)


def _copy_first_map(layer: nn.Conv2d) -> None:
    centre = layer.kernel_size[0] // 2
    layer.weight[0] = 0
    layer.weight[0, 0, centre, centre] = 1
    nn.init.zeros_(cast(Tensor, layer.bias))
