"""EfficientNet-Lite0, which learnt on ImageNet."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STEM, HEAD, CLASSES = 32, 1280, 1000
STAGES = (  # kernel, stride, expansion, channels, blocks
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
EPSILON = 1e-3  # of batch normalisation
HALF = 0.5  # its mean and its standard deviation of levels, of each colour


class Lite0(nn.Module):
    """Tan and Le, "EfficientNet", ICML 2019, in the form Lite0: without squeeze and excitation, with ReLU6.

    Pads as TensorFlow does, in which it learnt: at the end one more than at the beginning, where that is odd.
    Takes float32 (N, 3, H, W), of mean 0 and deviation 1 in the sense of HALF. Returns features (N, 1280).
    """

    width = HEAD

    def __init__(self) -> None:
        super().__init__()
        self.stem = _Convolution(3, STEM, 3, 2)
        blocks: list[nn.Module] = []
        before = STEM
        for kernel, stride, expansion, channels, count in STAGES:
            for number in range(count):
                blocks.append(_Block(before, channels, kernel, stride if number == 0 else 1, expansion))
                before = channels
        self.blocks = nn.Sequential(*blocks)
        self.top = _Convolution(before, HEAD, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return the features of `images`."""
        maps: Tensor = self.top(self.blocks(self.stem(images)))
        return maps.mean((2, 3))

    def load_published(self, weights: Mapping[str, Tensor]) -> None:
        """Take the published `weights`, which come in the order of the layers; their classes of ImageNet are left out.

        Raises ValueError when they do not fit.
        """
        names = list(self.state_dict())
        shapes = [tuple(each.shape) for each in self.state_dict().values()]
        given = list(weights.values())
        if [tuple(each.shape) for each in given[: len(names)]] != shapes or len(given) != len(names) + 2:
            raise ValueError("these are no weights of EfficientNet-Lite0")
        self.load_state_dict(dict(zip(names, given, strict=False)))


class _Convolution(nn.Module):
    """A convolution without bias, batch normalisation, and ReLU6, if `active`."""

    def __init__(self, before: int, after: int, kernel: int, stride: int, groups: int = 1, active: bool = True) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(before, after, kernel, stride, groups=groups, bias=False)
        self.normal = nn.BatchNorm2d(after, EPSILON)
        self.active = active

    def forward(self, images: Tensor) -> Tensor:
        kernel, stride = self.convolution.kernel_size[0], self.convolution.stride[0]
        pads: list[int] = []
        for length in reversed(images.shape[2:]):
            more = max((-(-length // stride) - 1) * stride + kernel - length, 0)
            pads += [more // 2, more - more // 2]
        found: Tensor = self.normal(self.convolution(F.pad(images, pads)))
        return F.relu6(found) if self.active else found


class _Block(nn.Module):
    """An inverted residual: Sandler et al., "MobileNetV2", CVPR 2018."""

    def __init__(self, before: int, after: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = before * expansion
        expand = [_Convolution(before, inner, 1, 1)] if expansion > 1 else []
        self.layers = nn.Sequential(
            *expand,
            _Convolution(inner, inner, kernel, stride, groups=inner),
            _Convolution(inner, after, 1, 1, active=False),
        )
        self.adds = stride == 1 and before == after

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.layers(images)
        return images + found if self.adds else found


def coloured(images: Tensor, mean: float, deviation: float) -> Tensor:
    """Return grey `images` (N, 1, H, W), of mean 0 and deviation 1, as networks take them that learnt on photographs.

    Float32 (N, 3, H, W), clipped to what photographs of that `mean` and `deviation` can have, and then standardised again.
    """
    levels = (images * deviation + mean).clamp(0, 1)
    return ((levels - mean) / deviation).expand(-1, 3, -1, -1)


def published(path: str) -> Mapping[str, Tensor]:
    """Return the weights in the file `path`, which holds tensors alone. Raises what torch raises where it does not."""
    found: Mapping[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return found
