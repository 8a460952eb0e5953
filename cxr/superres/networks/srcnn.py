"""SRCNN: Dong, Loy, He and Tang, "Image Super-Resolution Using Deep Convolutional Networks", TPAMI 38(2), 2016."""

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.autograd import Function

from cxr.superres.architectures.srcnn import Mapping
from cxr.superres.kernels.convolution import conv_relu, gradient_of_inputs, gradients, turned_round

# Patch extraction and reconstruction (section 3): the sides of their filters; and the numbers of maps.
EXTRACTION, RECONSTRUCTION = 9, 5
WIDTHS = (64, 32)


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
            level = images.detach().mean((2, 3)).to(dtype)
            levels = torch.cat([torch.ones_like(level), level], 1)
            inputs = _shifted_with((images - level[..., None, None]).to(dtype), levels)
            extraction, mapping, reconstruction = self._layers()
            weights = [layer.weight.to(dtype) for layer in self._layers()]
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

    def _layers(self) -> tuple[nn.Conv2d, nn.Conv2d, nn.Conv2d]:
        return self.extraction, self.mapping, self.reconstruction


# Convolutions from one channel or to one are slow. Copies of the image, shifted along its rows, as the channels of a column of
# filters are the same as the first layer and are fast; and so is the last one as a channel for each of its filter's columns,
# which are then shifted against each other and added.


def _padded(maps: Tensor, border: int) -> Tensor:
    """Return `maps` (N, C, H, W) with their edges repeated `border` pixels outwards."""
    if not maps.is_cuda:
        return F.pad(maps, (border,) * 4, mode="replicate")
    for axis in (2, 3):  # on a GPU torch adds up the gradients of that in another order each time
        first, last = (maps.narrow(axis, at, 1) for at in (0, maps.shape[axis] - 1))
        maps = torch.cat([*[first] * border, maps, *[last] * border], axis)
    return maps


def _shifted(images: Tensor) -> Tensor:
    """Return `images` (N, 1, H, W) with borders for the first layer and its filters' width as channels: (N, 9, H+8, W)."""
    return _padded(images, EXTRACTION // 2)[:, 0].unfold(2, EXTRACTION, 1).contiguous().permute(0, 3, 1, 2)


def _shifted_with(images: Tensor, constants: Tensor) -> Tensor:
    """Return `_shifted(images)` with `constants` (N, M) as further channels: (N, 9 + M, H+8, W)."""
    border, (count, _, _, width), further = EXTRACTION // 2, images.shape, constants.shape[1]
    rows = F.pad(images, (0, 0, border, border), mode="replicate")[:, 0]
    rows = torch.cat([rows, constants[:, None].expand(-1, rows.shape[1], -1)], 2)
    # As crops are small, a product with zeros and ones takes a third less time than copies of so few pixels each.
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
    """Return the first layer's weight (64, 1, 9, 9), for the result of `_shifted`: (64, 9, 9, 1)."""
    return weight.permute(0, 3, 2, 1).contiguous()


def _by_column(weight: Tensor) -> Tensor:
    """Return the last layer's weight (1, 32, 5, 5) with one channel for each column, for `_slanted_sum`: (5, 32, 5, 1)."""
    return weight.permute(3, 1, 2, 0).contiguous()


def _slanted_sum(columns: Tensor) -> Tensor:
    """Return the sums of channel i at i pixels to the right, for `columns` (N, 5, H, W+4): (N, 1, H, W)."""
    width = columns.shape[-1] - columns.shape[1] + 1
    return torch.stack([columns[:, i, :, i : i + width] for i in range(columns.shape[1])]).sum(0)[:, None]


def _slants(rows: Tensor, width: int) -> Tensor:
    """Return the zeros and ones (W, 5 W) with which rows of `width` pixels become those of their 5 columns of the last layer.

    Transposed they do as `_slanted_sum`, with columns that repeat themselves at the edges. Of the kind of `rows`.
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
        _, of_reconstruction, _ = gradients(grad_output, mapped, by_column, 0, (False, True, False))
        grad_output = _before_repeated(grad_output, by_column, _relu_mask(mapped, mapped_offset, by_column))
        of_bias_from_level = grad_output.sum((2, 3)).to(mapped_offset.dtype)
        _, of_mapping, _ = gradients(grad_output, features, mapping, 0, (False, True, False))
        grad_output = _before_repeated(grad_output, mapping, _relu_mask(features, features_offset, mapping))
        of_inputs, of_columns, _ = gradients(grad_output, inputs, columns, 0, (ctx.needs_input_grad[0], True, False))
        assert of_columns is not None
        assert of_reconstruction is not None
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
