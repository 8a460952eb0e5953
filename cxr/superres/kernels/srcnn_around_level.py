"""SRCNN around its level: what it computes in float32, multiplied in bfloat16."""

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.grad import conv2d_input, conv2d_weight

from cxr.superres.kernels.convolution import gradient_of_inputs, turned_round
from cxr.superres.networks.srcnn import EXTRACTION, RECONSTRUCTION, SRCNN


class AroundLevel(nn.Module):
    """SRCNN multiplying in `precision` (bfloat16), though that holds half a grey level at best, as exact as float32 would be.

    All layers carry the image, and with it its level, far above the detail that matters. So each one's answer to the
    level alone, a few products, is computed in float32, and only what the image adds to that goes through `precision`.

    Write the maps a that go into a layer as m + c, where c is one number for each image and map, chosen such that m is
    small. With S the sums of the filters W over their pixels, which borders that repeat edges leave the same everywhere,

        W * a + b  =  W * m + (S c + b)  =  (W * m + p) + c',    c' = S c + b - p,

    and what ReLU makes of it is again a small map and a number:

        relu(W * a + b)  =  max(W * m + p, -c') + c'  =  m' + c'.

    Convolutions are on m and its filters in `precision`; c is float32. Any c and p give the same network. The first c is
    the image's mean; p is what a convolution can add by itself, which keeps maps small that ReLU silences.
    """

    def __init__(self, network: SRCNN, precision: torch.dtype) -> None:
        super().__init__()
        self.network, self.precision = network, precision

    def forward(self, images: Tensor) -> Tensor:
        """Return the enhanced images, float32 (N, 1, H, W)."""
        dtype, network = self.precision, self.network
        level = images.detach().mean((2, 3)).to(dtype)
        levels = torch.cat([torch.ones_like(level), level], 1)
        inputs = _shifted_with((images - level[..., None, None]).to(dtype), levels)
        layers = extraction, mapping, reconstruction = network.extraction, network.mapping, network.reconstruction
        weights = [layer.weight.to(dtype) for layer in layers]
        by_level = torch.stack([cast(Tensor, extraction.bias), extraction.weight.sum((1, 2, 3))], 1)
        with torch.no_grad():
            # What the convolutions add by themselves, so that filters which a middle level leaves silent have small maps.
            # It depends on the weights alone: no crop's result may hang on the others of its batch.
            middle = by_level[:, 0] + by_level[:, 1] / 2
            first = torch.where(middle[:, None] < 0, by_level, 0).to(dtype)
            second = _of_level(mapping, middle.relu()).clamp(max=0).to(dtype)
            levels = levels.to(by_level.dtype)
            alone = levels @ by_level.T
            features_offset = _offset(alone, levels @ first.to(by_level.dtype).T, alone, dtype)
        bias_from_level = _bias_from_level(mapping, weights[1], features_offset, alone.relu())
        with torch.no_grad():
            alone = _of_level(mapping, alone.relu())
            mapped_offset = _offset(bias_from_level, second, alone, dtype)
        amounts = first, second, features_offset, mapped_offset
        detail: Tensor = _Detail.apply(inputs, *weights, by_level, bias_from_level, *amounts)  # type: ignore[no-untyped-call]
        return detail + _bias_from_level(reconstruction, weights[2], mapped_offset, alone.relu())[..., None, None]


# Convolutions from one channel or to one are slow. Copies of the image, shifted along its rows, as the channels of a column of
# filters are the same as the first layer and are fast; and so is the last one as a channel for each of its filter's columns,
# which are then shifted against each other and added. As crops are small, products with zeros and ones take a third less time
# than copies of so few pixels each.


def _shifted_with(images: Tensor, constants: Tensor) -> Tensor:
    """Return `images` (N, 1, H, W), shifted, with borders, and `constants` (N, M) as channels: (N, 9 + M, H+8, W)."""
    border, (count, _, _, width), further = EXTRACTION // 2, images.shape, constants.shape[1]
    rows = F.pad(images, (0, 0, border, border), mode="replicate")[:, 0]
    rows = torch.cat([rows, constants[:, None].expand(-1, rows.shape[1], -1)], 2)
    column, channel = _numbers(width, EXTRACTION, images)
    places = images.new_zeros(width + further, width, EXTRACTION + further)
    _set_to_one(places, (column + channel - border).clamp(0, width - 1), column, channel)
    places[width:, :, EXTRACTION:].diagonal(dim1=0, dim2=2).fill_(1)
    return (rows @ places.flatten(1)).view(count, -1, width, EXTRACTION + further).permute(0, 3, 1, 2)


def _set_to_one(tensor: Tensor, *places: Tensor) -> None:
    # An assignment would send the number from the CPU's memory.
    tensor.index_put_(places, tensor.new_ones(()))


def _numbers(width: int, channels: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return the numbers of the pixels of a row (W, 1) and of channels (C), on the device of `like`."""
    return torch.arange(width, device=like.device)[:, None], torch.arange(channels, device=like.device)


def _columns(weight: Tensor) -> Tensor:
    """Return the first layer's weight (64, 1, 9, 9), for the result of `_shifted_with`: (64, 9, 9, 1)."""
    return weight.permute(0, 3, 2, 1).contiguous()


def _by_column(weight: Tensor) -> Tensor:
    """Return the last layer's weight (1, 32, 5, 5) with one channel for each column: (5, 32, 5, 1)."""
    return weight.permute(3, 1, 2, 0).contiguous()


def _slants(rows: Tensor, width: int) -> Tensor:
    """Return the zeros and ones (W, 5 W) with which rows of `width` pixels become those of their 5 columns of the last layer.

    Transposed they shift the columns against each other and add them, repeating them at the edges. Of the kind of `rows`.
    """
    pixel, channel = _numbers(width, RECONSTRUCTION, rows)
    slants = rows.new_zeros(width, width, RECONSTRUCTION)
    _set_to_one(slants, pixel, (pixel + channel - RECONSTRUCTION // 2).clamp(0, width - 1), channel)
    return slants.flatten(1)


class _Detail(Function):
    """The three layers on what an image adds to its level, with their gradients one by one.

    The maps of the first two layers are those of the network less an amount for each image and map, `features_offset` (N, 64)
    and `mapped_offset` (N, 32), that leaves them small, so that `dtype` holds them precisely. What a layer makes of the amounts
    before it is its `bias_from_level` (N, C), of which its convolution adds a part by itself (`first` and `second`) and ReLU
    sees the rest, which is the next amount. Any amounts give the same network, so that nothing goes back to them. That of the
    first layer is `by_level` (64, 2) times one and the level, the last two channels of `inputs` (N, 11, H+8, W).
    """

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        extraction: Tensor,
        mapping: Tensor,
        reconstruction: Tensor,
        by_level: Tensor,
        bias_from_level: Tensor,
        first: Tensor,
        second: Tensor,
        features_offset: Tensor,
        mapped_offset: Tensor,
    ) -> Tensor:
        del by_level, bias_from_level  # the amounts hold them; named for their gradients
        columns = F.pad(_columns(extraction), (0, 0, 0, 0, 0, first.shape[1]))
        columns[:, EXTRACTION:, EXTRACTION // 2, 0] = first
        by_column = _by_column(reconstruction)
        features = _rectified(F.conv2d(inputs, columns), features_offset, mapping)
        mapped = _rectified(F.conv2d(features, mapping, second), mapped_offset, by_column)
        ctx.save_for_backward(inputs, columns, features, mapping, mapped, by_column, features_offset, mapped_offset)
        rows = F.conv2d(mapped, by_column).float().permute(0, 2, 3, 1).flatten(2)
        return (rows @ _slants(rows, inputs.shape[-1]).T)[:, None]

    @staticmethod
    def backward(ctx: Any, *gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs, columns, features, mapping, mapped, by_column, features_offset, mapped_offset = ctx.saved_tensors
        rows = gradient[0][:, 0].to(mapped.dtype)
        grad_output = (rows @ _slants(rows, rows.shape[-1])).view(*rows.shape, RECONSTRUCTION).permute(0, 3, 1, 2)
        of_reconstruction = conv2d_weight(mapped, by_column.shape, grad_output)  # type: ignore[no-untyped-call]
        grad_output = _before_repeated(grad_output, by_column, _relu_mask(mapped, mapped_offset, by_column))
        of_bias_from_level = grad_output.sum((2, 3)).to(mapped_offset.dtype)
        of_mapping = conv2d_weight(features, mapping.shape, grad_output)  # type: ignore[no-untyped-call]
        grad_output = _before_repeated(grad_output, mapping, _relu_mask(features, features_offset, mapping))
        of_inputs = conv2d_input(inputs.shape, columns, grad_output) if ctx.needs_input_grad[0] else None  # type: ignore[no-untyped-call]
        of_columns = conv2d_weight(inputs, columns.shape, grad_output)  # type: ignore[no-untyped-call]
        of_extraction = of_columns[:, :EXTRACTION].permute(0, 3, 2, 1)
        of_level = of_columns[:, EXTRACTION:, EXTRACTION // 2, 0].to(of_bias_from_level.dtype)
        of_weights = of_extraction, of_mapping, of_reconstruction.permute(3, 1, 2, 0)
        return of_inputs, *of_weights, of_level, of_bias_from_level, None, None, None, None


def _of_level(layer: nn.Conv2d, level: Tensor) -> Tensor:
    """Return what `layer` makes of maps that are the same everywhere, `level` (..., C): (..., O)."""
    return F.linear(level, layer.weight.sum((2, 3)), layer.bias)


def _bias_from_level(layer: nn.Conv2d, rounded: Tensor, offset: Tensor, level: Tensor) -> Tensor:
    """Return what is to be added (N, O) to the convolution of maps that lie `offset` (N, C) below those of the network.

    `level` are the network's maps of the level alone. What is left of it has small errors, as the convolution's weights are
    `rounded`; since they would be the same all over the image, they are seen to here.
    """
    with torch.no_grad():
        lost = F.linear(level - offset, (layer.weight - rounded).sum((2, 3)))
    return _of_level(layer, offset) + lost


def _offset(bias_from_level: Tensor, added: Tensor, alone: Tensor, dtype: torch.dtype) -> Tensor:
    """Return how far the maps of `_rectified` lie below the network's (N, C): `bias_from_level` without what is `added` before.

    Where ReLU cuts off the layer's answer to the level `alone`, most of the map is then minus this: a number of `dtype`.
    """
    offset = bias_from_level - added
    return torch.where(alone < 0, offset.to(dtype).to(offset.dtype), offset)


def _rectified(maps: Tensor, offset: Tensor, following: Tensor) -> Tensor:
    """Return relu(maps + offset) - offset, `offset` (N, C), that is max(maps, -offset), with borders that repeat the edges.

    They are as wide as the filters `following` (O, C, h, w) need: of (N, C, H, W) come (N, C, H + h - 1, W + w - 1).
    """
    (count, channels, height, width), (above, beside) = maps.shape, _borders(following)
    padded = maps.new_empty(count, height + 2 * above, width + 2 * beside, channels)
    rows = _rows(padded, above, beside)
    torch.maximum(_rows(maps.permute(0, 2, 3, 1)), _row(-offset, rows), out=rows)
    inside = padded[:, above : above + height]
    inside[:, :, :beside] = inside[:, :, beside : beside + 1]
    inside[:, :, beside + width :] = inside[:, :, beside + width - 1 : beside + width]
    padded[:, :above] = padded[:, above : above + 1]
    padded[:, above + height :] = padded[:, above + height - 1 : above + height]
    return padded.permute(0, 3, 1, 2)


def _relu_mask(rectified: Tensor, offset: Tensor, following: Tensor) -> Tensor:
    """Return where ReLU has let pass what `_rectified` has returned: ones and zeros, without the borders."""
    rows = _rows(rectified.permute(0, 2, 3, 1), *_borders(following))
    relu_mask = rows.new_empty(*rows.shape[:2], rows.shape[2] // offset.shape[1], offset.shape[1])
    torch.gt(rows, _row(-offset, rows), out=_rows(relu_mask))
    return relu_mask.permute(0, 3, 1, 2)


def _borders(weight: Tensor) -> tuple[int, int]:
    """Return how many pixels the filters (O, C, h, w) see above and below, and to each side."""
    return weight.shape[2] // 2, weight.shape[3] // 2


def _before_repeated(grad_output: Tensor, weight: Tensor, relu_mask: Tensor) -> Tensor:
    """Return the gradient of maps, times `relu_mask`, from `grad_output` of their convolution, for which edges were repeated.

    All of them are without borders. What goes back to a border belongs to the edge that it repeats; as there is little
    of it, it is computed apart, one row or column for each edge, and the maps need no borders.
    """
    gradient = gradient_of_inputs(grad_output, weight, relu_mask)
    above, beside = _borders(weight)
    for edge in (0, -1):
        if above:
            row = _into_border(grad_output, weight, 2, edge, (0, beside))[:, :, 0]
            gradient[:, :, edge].addcmul_(row, relu_mask[:, :, edge])
        if beside:
            column = _into_border(grad_output, weight, 3, edge, (2 * above, 0))[..., 0]
            column[:, :, above] += column[:, :, :above].sum(2)
            column[:, :, -above - 1] += column[:, :, -above:].sum(2)
            gradient[..., edge].addcmul_(column[:, :, above:-above], relu_mask[..., edge])
    return gradient


def _into_border(grad_output: Tensor, weight: Tensor, axis: int, edge: int, padding: tuple[int, int]) -> Tensor:
    """Return what goes back to the rows (`axis` 2) or columns (3) of a border: before the first `edge` (0) or behind the last.

    They are added up: it is one convolution, with sums of the filters' rows or columns, of what lies nearest.
    """
    border = weight.shape[axis] // 2
    near = min(border, grad_output.shape[axis])
    sums = (weight if edge == 0 else weight.flip(axis)).narrow(axis, 0, border).clone()
    for i in range(1, border):  # cumsum takes four times as long
        sums.select(axis, i).add_(sums.select(axis, i - 1))
    if edge == 0:
        grad_output, filters = grad_output.narrow(axis, 0, near), turned_round(sums).narrow(axis, 0, near)
    else:
        grad_output = grad_output.narrow(axis, grad_output.shape[axis] - near, near)
        filters = turned_round(sums.flip(axis)).narrow(axis, border - near, near)
    return F.conv2d(grad_output.contiguous(memory_format=torch.channels_last), filters, padding=padding)


def _rows(maps: Tensor, above: int = 0, beside: int = 0) -> Tensor:
    """Return `maps` (N, H, W, C) without their borders as one vector for each row (N, H, W * C): a view."""
    count, height, width, _ = maps.shape
    return maps[:, above : height - above, beside : width - beside].view(count, height - 2 * above, -1)


def _row(values: Tensor, rows: Tensor) -> Tensor:
    """Return `values` (N, C) as often as there are pixels in each of `rows` (N, H, W * C), for all of them: (N, 1, W * C)."""
    return values.to(rows.dtype).repeat(1, rows.shape[-1] // values.shape[1])[:, None]
