"""SRCNN: Dong, Loy, He and Tang, "Image Super-Resolution Using Deep Convolutional Networks", TPAMI 38(2), 2016."""

from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.autograd import Function

from superres.convolution import conv_add, conv_relu, gradient_of_inputs, gradients

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

    def forward(self, images: Tensor, above: int = 0, below: int = 0) -> Tensor:
        """Return the enhanced images without their first rows, `above`, and their last, `below`."""
        enhanced: Tensor
        if torch.is_autocast_enabled(images.device.type):
            enhanced = self._around_level(images, torch.get_autocast_dtype(images.device.type))
        elif self.reconstruction.weight.is_contiguous(memory_format=torch.channels_last):
            enhanced = self._as_columns(images)
        else:
            enhanced = self.reconstruction(torch.relu(self.mapping(torch.relu(self.extraction(images)))))
        return enhanced[:, :, above : images.shape[2] - below]

    def _as_columns(self, images: Tensor) -> Tensor:
        """Return the same with the outer layers rewritten for memory that has channels last."""
        extraction, mapping, reconstruction = self._layers()
        maps = conv_relu(_shifted(images), _columns(extraction.weight), cast(Tensor, extraction.bias), padding=0)
        maps = _padded(maps, mapping.kernel_size[0] // 2)
        maps = conv_relu(maps, mapping.weight, cast(Tensor, mapping.bias), padding=0)
        columns = F.conv2d(_padded(maps, RECONSTRUCTION // 2), _by_column(reconstruction.weight))
        return _slanted_sum(columns) + cast(Tensor, reconstruction.bias)

    def _around_level(self, images: Tensor, dtype: torch.dtype) -> Tensor:
        """Return the same as float32 would, multiplying in `dtype`, though that holds half a grey level at best.

        All layers carry the image, and with it its level, far above the detail that matters. So each one's answer to the
        level alone, a few products, is computed in float32, and only what the image adds to that goes through `dtype`.
        """
        with torch.autocast(images.device.type, enabled=False):
            level = images.mean((2, 3)).detach()
            detail = (images - level[..., None, None]).to(dtype)
            answers = []
            for layer in self._layers():
                answers.append(level @ layer.weight.sum((2, 3)).T + cast(Tensor, layer.bias))
                level = answers[-1].relu()
            extraction, mapping, reconstruction = (layer.weight.to(dtype) for layer in self._layers())
            weights = _columns(extraction), mapping, _by_column(reconstruction)
            added: Tensor = _Detail.apply(_shifted(detail), *weights, *answers[:-1])  # type: ignore[no-untyped-call]
            return added + answers[-1][..., None, None]

    def _layers(self) -> tuple[nn.Conv2d, nn.Conv2d, nn.Conv2d]:
        return self.extraction, self.mapping, self.reconstruction


# Convolutions from one channel or to one are slow. Copies of the image, shifted along its rows, as the channels of a column of
# filters are the same as the first layer and are fast; and so is the last one as a channel for each of its filter's columns,
# which are then shifted against each other and added.


def _padded(maps: Tensor, border: int) -> Tensor:
    """Return `maps` (N, C, H, W) with their edges repeated `border` pixels outwards."""
    return F.pad(maps, (border,) * 4, mode="replicate")


def _shifted(images: Tensor) -> Tensor:
    """Return `images` (N, 1, H, W) with borders for the first layer and its filters' width as channels: (N, 9, H+8, W)."""
    return _padded(images, EXTRACTION // 2)[:, 0].unfold(2, EXTRACTION, 1).contiguous().permute(0, 3, 1, 2)


def _columns(weight: Tensor) -> Tensor:
    """Return the first layer's weight (64, 1, 9, 9), for the result of `_shifted`: (64, 9, 9, 1)."""
    return weight.permute(0, 3, 2, 1).contiguous()


def _by_column(weight: Tensor) -> Tensor:
    """Return the last layer's weight (1, 32, 5, 5) with one channel for each column, for `_slanted_sum`: (5, 32, 5, 1)."""
    return weight.permute(3, 1, 2, 0).contiguous()


def _slanted_sum(columns: Tensor) -> Tensor:
    """Return the sums of channel i at i pixels to the right, for `columns` (N, 5, H, W+4): (N, 1, H, W)."""
    width = columns.shape[-1] - columns.shape[1] + 1
    return torch.stack([columns[:, i, :, i : i + width] for i in range(columns.shape[1])]).sum(0)[:, None]


def _slanted(gradient: Tensor, count: int) -> Tensor:
    """Return the gradient of what `_slanted_sum` has added up from `count` channels, from that of the sum."""
    around = F.pad(gradient[:, 0], (count - 1, count - 1))
    return around.unfold(-1, count, 1).flip(-1).permute(0, 3, 1, 2)


class _Detail(Function):
    """The three layers on what an image adds to its level, with their gradients, most of them in place.

    With `answers`, what the first two layers make of the level (N, C), their maps are relu(detail + answer) - relu(answer),
    never as large as the level, so that `detail` and maps keep their precision.
    """

    @staticmethod
    def forward(
        ctx: Any, detail: Tensor, extraction: Tensor, mapping: Tensor, reconstruction: Tensor, *answers: Tensor
    ) -> Tensor:
        borders = mapping.shape[-1] // 2, RECONSTRUCTION // 2
        features = _rectified(detail, extraction, answers[0], borders[0])
        mapped = _rectified(features, mapping, answers[1], borders[1])
        ctx.save_for_backward(detail, extraction, features, mapping, mapped, reconstruction, *answers)
        return _slanted_sum(F.conv2d(mapped, reconstruction).float())

    @staticmethod
    def backward(ctx: Any, *gradient: Tensor) -> tuple[Tensor | None, ...]:
        detail, extraction, features, mapping, mapped, reconstruction, *answers = ctx.saved_tensors
        behind = _slanted(gradient[0].to(reconstruction.dtype), reconstruction.shape[0])
        total = _total(behind.sum((2, 3)), reconstruction)
        _, of_reconstruction, _ = gradients(behind, mapped, reconstruction, 0, (False, True, False))
        behind = gradient_of_inputs(behind, reconstruction, 0, _passed(mapped, answers[1]))
        behind, of_second, sums = _before_rectified(behind, answers[1], RECONSTRUCTION // 2, total)
        _, of_mapping, _ = gradients(behind, features, mapping, 0, (False, True, False))
        total = _total(sums, mapping)
        behind = gradient_of_inputs(behind, mapping, 0, _passed(features, answers[0]))
        behind, of_first, _ = _before_rectified(behind, answers[0], mapping.shape[-1] // 2, total)
        wanted = (ctx.needs_input_grad[0], True, False)
        of_detail, of_extraction, _ = gradients(behind, detail, extraction, 0, wanted)
        return of_detail, of_extraction, of_mapping, of_reconstruction, of_first, of_second


def _total(sums: Tensor, weight: Tensor) -> Tensor:
    """Return the sums of the gradients of a convolution's inputs (N, C), from those of its outputs (N, O), without borders."""
    return sums.float() @ weight.sum((2, 3)).float()


def _rectified(maps: Tensor, weight: Tensor, answer: Tensor, border: int) -> Tensor:
    """Return relu(conv2d(maps, weight) + answer) - relu(answer) for `answer` (N, C), with its edges repeated outwards.

    Computed as max(conv2d(maps, weight) + min(answer, 0), -max(answer, 0)), without sums of large and small. Of the H x W
    pixels of the convolution come (N, C, H + 2 border, W + 2 border).
    """
    count, channels = answer.shape
    height, width = (length - side + 1 for length, side in zip(maps.shape[2:], weight.shape[2:], strict=True))
    start = maps.new_empty(count, height, width, channels)
    _rows(start).copy_(_row(answer.clamp(max=0), _rows(start)))
    added = conv_add(maps, weight, start.permute(0, 3, 1, 2), padding=0).permute(0, 2, 3, 1)
    padded = maps.new_empty(count, height + 2 * border, width + 2 * border, channels)
    rows = _rows(padded, border)
    torch.maximum(_rows(added), _row(-answer.relu(), rows), out=rows)
    inside = slice(border, border + height)
    first, last = border, border + width - 1
    padded[:, inside, :first] = padded[:, inside, first : first + 1]
    padded[:, inside, last + 1 :] = padded[:, inside, last : last + 1]
    padded[:, :border] = padded[:, border : border + 1]
    padded[:, border + height :] = padded[:, border + height - 1 : border + height]
    return padded.permute(0, 3, 1, 2)


def _passed(rectified: Tensor, answer: Tensor) -> Tensor:
    """Turn `rectified` of `_rectified` into where ReLU has let it pass: ones and zeros, with the borders."""
    rows = _rows(rectified.permute(0, 2, 3, 1))
    torch.gt(rows, _row(-answer.relu(), rows), out=rows)
    return rectified


def _before_rectified(gradient: Tensor, answer: Tensor, border: int, total: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of the `detail` and `answer` of `_rectified`, and the sums of that of `detail` (N, C).

    `gradient`, which is used up, is that of its result where ReLU has passed it, and elsewhere 0; `total` are its sums (N, C)
    when what ReLU cuts off is counted, too.
    """
    behind = gradient.permute(0, 2, 3, 1).contiguous()
    for outside in range(border):
        behind[:, border].add_(behind[:, outside])  # += would copy the sum onto itself
        behind[:, -border - 1].add_(behind[:, -outside - 1])
    inside = behind[:, border : behind.shape[1] - border]
    for outside in range(border):
        inside[:, :, border].add_(inside[:, :, outside])
        inside[:, :, -border - 1].add_(inside[:, :, -outside - 1])
    before = inside[:, :, border : behind.shape[2] - border].contiguous()
    sums = before.flatten(1, 2).sum(1).to(answer.dtype)
    # Where the answer is positive, it has been subtracted again: what counts is where ReLU cuts off.
    return before.permute(0, 3, 1, 2), sums - torch.where(answer > 0, total, 0), sums


def _rows(maps: Tensor, border: int = 0) -> Tensor:
    """Return `maps` (N, H, W, C) without their `border` as one vector for each row (N, H, W * C): a view."""
    count, height, width, _ = maps.shape
    return maps[:, border : height - border, border : width - border].view(count, height - 2 * border, -1)


def _row(values: Tensor, rows: Tensor) -> Tensor:
    """Return `values` (N, C) as often as there are pixels in each of `rows` (N, H, W * C), for all of them: (N, 1, W * C)."""
    return values.to(rows.dtype).repeat(1, rows.shape[-1] // values.shape[1])[:, None]


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
