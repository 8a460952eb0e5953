"""A trained network on a whole radiograph of any depth, or on a part of one, in tiles when it is large."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cxr.compute.device import repeatable
from cxr.foundation.errors import UserError
from cxr.superres.degradation.enlargement import enlarge, interpolated
from cxr.superres.degradation.maps import beside
from cxr.superres.estimation.arrival import arrived
from cxr.superres.model import Model, network_for
from cxr.superres.network import is_post_upsampling, is_told
from cxr.superres.tiles import tiled
from cxr.superres.told import Told, within

Levels = TypeVar("Levels", np.uint8, np.uint16, np.float32)
Span = slice | tuple[int, int]
"""Rows or columns: a slice, or the first one and the one behind the last."""


class Shown(Protocol):
    """How stored values are seen, as `cxr.formats.dicom.display` knows it."""

    def shown(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Return what is seen of `values`, 0 black and 1 white."""

    def moved(
        self, values: npt.NDArray[np.float32], before: npt.NDArray[np.float32], after: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float32]:
        """Return `values`, which are shown as `before`, changed to be shown as `after`."""


@torch.inference_mode()
def enhance(
    model: Model,
    image: npt.NDArray[Levels],
    scale: int = 2,
    done: Callable[[int], object] | None = None,
    bits: int | None = None,
    strength: float = 1.0,
    arrival: Told | None = None,
) -> npt.NDArray[Levels]:
    """Return `image` (H, W) with `scale` times its rows and columns, as `model` sees it: of its own dtype and range.

    Of what the model changes of the bicubically enlarged image, the share `strength` is changed, from 0 to 1.
    0 is black. White is 2**bits - 1 of uint8 and uint16, or, without `bits`, the greatest value of the dtype; of float32, 1,
    and what lies beyond black or white counts as that.
    `done` is told the pixels of each finished tile. A network that is told how a radiograph arrived is told `arrival`, or else
    what is found of `image`.
    Raises UserError when `model` was not trained for `scale`, integers exceed white or floats are NaN; ValueError for arrays of
    another kind or of no pixels.
    """
    white = _white(image, bits)
    _refuse_beyond(white, image, bits)
    low = torch.from_numpy(image.astype(np.float32) / white)[None, None].clamp_(0, 1).to(model.device)
    return _levels(strengthened(model, low, scale, strength, done, arrival=arrival), white, image.dtype)


@torch.inference_mode()
def enhance_part(
    model: Model,
    image: npt.NDArray[Levels],
    scale: int,
    rows: Span,
    columns: Span,
    bits: int | None = None,
    arrival: Told | None = None,
) -> npt.NDArray[Levels]:
    """Return `enhance(model, image, scale, bits=bits)[rows, columns]`, having computed little more than that needs.

    A network that is told how a radiograph arrived is told `arrival`; without it, what is found of the whole image each time.

    `rows` and `columns` are of the result: slices without a step, or first ones with the one behind the last. On a CPU a
    post-upsampling network that multiplies in float32 gives the same to the last bit. Others give the same to 1e-6 of white, or
    in bfloat16 within what that rounds: the bundled VDSR to 0.012 of white on noise, and to 0.0003 on a smooth phantom.
    Raises what `enhance` raises, for integers beyond white where it reads any; ValueError, besides, for slices with a step.
    """
    white = _white(image, bits)
    down, across = _lines(model, scale, image.shape, (rows, columns))
    read = image[down.read, across.read]
    _refuse_beyond(white, read, bits)
    low = torch.from_numpy(read.astype(np.float32) / white)[None, None].clamp_(0, 1).to(model.device)
    bicubic = enlarge(low, scale)[..., _times(down.seen, scale), _times(across.seen, scale)]
    if arrival is None and is_told(network_for(model, scale)):
        arrival = found(torch.from_numpy(image.astype(np.float32) / white)[None].clamp_(0, 1))
    made = restore(model, low[..., down.seen, across.seen], scale, bicubic=bicubic, arrival=arrival)
    return _levels(made[..., down.part, across.part], white, image.dtype)


def arrival_of(image: npt.NDArray[Levels], bits: int | None = None) -> Told:
    """Return what `image` (H, W), of the kinds and range that `enhance` takes, tells of how it arrived.

    Raises UserError when integers exceed white or floats are NaN; ValueError for arrays of another kind or of no pixels.
    """
    return found(torch.from_numpy(as_seen(image, bits))[None])


def as_seen(image: npt.NDArray[Levels], bits: int | None = None) -> npt.NDArray[np.float32]:
    """Return `image` (H, W), of the kinds and range that `enhance` takes, from 0, black, to 1, white.

    Raises UserError when integers exceed white or floats are NaN; ValueError for arrays of another kind or of no pixels.
    """
    white = _white(image, bits)
    _refuse_beyond(white, image, bits)
    return (image.astype(np.float32) / white).clip(0, 1)


def found(image: Tensor) -> Told:
    """Return what `image` (1, H, W), float32 in [0, 1], tells of how it arrived."""
    return arrived(image[0].cpu().numpy()).for_network


class _Line(NamedTuple):
    """How a part of a result is made, along rows or columns."""

    read: slice
    """Of the image: what the network sees, and to each side what bicubic interpolation sees besides."""
    seen: slice
    """Of what is read: what the network sees."""
    part: slice
    """Of what the network makes: what is wanted."""


def _lines(model: Model, scale: int, shape: tuple[int, ...], spans: tuple[Span, Span]) -> tuple[_Line, _Line]:
    """Return how the rows and columns `spans` of the result of an image of `shape` are made."""
    network = network_for(model, scale)
    halo = cast(int, network.halo)
    if not is_post_upsampling(network):  # it sees so many pixels of the enlarged image
        halo = math.ceil(halo / scale)
    down, across = (_line(span, length, scale, halo) for span, length in zip(spans, shape, strict=True))
    return down, across


def seen_by(model: Model, scale: int) -> int:
    """Return how many pixels of an image, at most, lie between a part of it and what the part's result is made of."""
    down, _ = _lines(model, scale, (1 << 20, 1), (slice(scale << 19, (scale << 19) + 1), slice(None)))
    return int((1 << 19) - down.read.start)


def _line(span: Span, length: int, scale: int, halo: int) -> _Line:
    """Return how `span` of the result is made of a line of `length`, of which the network sees `halo` to each side."""
    first, behind, step = (span if isinstance(span, slice) else slice(*span)).indices(length * scale)
    if step != 1:
        raise ValueError(f"a part is of every row and column; {span} has a step")
    begin, end = max(first // scale - halo, 0), min(math.ceil(max(first, behind) / scale) + halo, length)
    read = slice(max(begin - 2, 0), end + 2)
    part = slice(first - begin * scale, max(first, behind) - begin * scale)
    return _Line(read, slice(begin - read.start, end - read.start), part)


def _times(span: slice, scale: int) -> slice:
    return slice(span.start * scale, span.stop * scale)


def _levels(enhanced: Tensor, white: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return the image `enhanced` (1, 1, H, W) in [0, 1] in levels up to `white`."""
    levels = enhanced[0, 0].mul_(float(white))
    return (levels if dtype == np.float32 else levels.round_()).cpu().numpy().astype(dtype, copy=False)


def _white(image: npt.NDArray[Any], bits: int | None) -> int:
    """Return the value of `image` that is white.

    Raises UserError when its dtype holds no such `bits`, ValueError when it is no grey image.
    """
    if image.ndim != 2 or not image.size or image.dtype not in (np.uint8, np.uint16, np.float32):
        raise ValueError(f"{image.dtype} {image.shape} is no grey image of uint8, uint16 or float32")
    if image.dtype == np.float32:
        return 1
    container = 8 * image.dtype.itemsize
    white: int = (1 << (container if bits is None else bits)) - 1
    if bits is not None and not 1 <= bits <= container:
        raise UserError(f"{bits} bits are none that {image.dtype} holds; give 1 to {container}")
    return white


def _refuse_beyond(white: int, image: npt.NDArray[Any], bits: int | None) -> None:
    """Raise UserError when integers of `image` exceed `white`, the most of `bits`, or floats are no numbers."""
    if image.dtype == np.float32 and np.isnan(image).any():
        raise UserError(f"{np.isnan(image).sum():,} values are no numbers (NaN); give each a value, such as 0 for black")
    if image.dtype != np.float32 and image.max() > white:
        raise UserError(f"values up to {image.max():,} exceed {white:,}, the most that {bits} bits hold; give more bits")


@torch.inference_mode()
def enhance_stored(
    model: Model,
    stored: npt.NDArray[np.float32],
    scale: int,
    display: Shown,
    done: Callable[[int], object] | None = None,
    strength: float = 1.0,
    arrival: Told | None = None,
) -> npt.NDArray[np.float32]:
    """Return values (H * scale, W * scale) of a radiograph whose `stored` values (H, W) are seen through `display`.

    `model` sees what is shown. What it changes of that is changed in the bicubically enlarged stored values, which so keep
    what lies beyond black and white. `strength` and `arrival` are those of `enhance`.
    Raises UserError when `model` was not trained for `scale`.
    """
    network_for(model, scale)
    bicubic = interpolated(torch.from_numpy(stored)[None, None].to(model.device), scale)[0, 0].cpu().numpy()
    before = display.shown(bicubic)
    seen, enlarged = (torch.from_numpy(each)[None, None].to(model.device) for each in (display.shown(stored), before))
    after = strengthened(model, seen, scale, strength, done, enlarged, arrival)[0, 0].cpu().numpy()
    return display.moved(bicubic, before, after)


@torch.inference_mode()
def enhance_stored_part(
    model: Model,
    stored: npt.NDArray[np.float32],
    scale: int,
    display: Shown,
    rows: Span,
    columns: Span,
    arrival: Told | None = None,
) -> npt.NDArray[np.float32]:
    """Return `enhance_stored(model, stored, scale, display)[rows, columns]`, as `enhance_part` does of levels.

    Raises UserError when `model` was not trained for `scale`; ValueError for slices with a step.
    """
    down, across = _lines(model, scale, stored.shape, (rows, columns))
    read = stored[down.read, across.read]
    enlarged = interpolated(torch.from_numpy(read)[None, None].to(model.device), scale)[0, 0].cpu().numpy()
    seen, made = (down.seen, across.seen), (_times(down.seen, scale), _times(across.seen, scale))
    bicubic = enlarged[made]
    before = display.shown(bicubic)
    low, shown = (torch.from_numpy(each)[None, None].to(model.device) for each in (display.shown(read[seen]), before))
    if arrival is None and is_told(network_for(model, scale)):
        arrival = found(torch.from_numpy(display.shown(stored))[None])
    after = restore(model, low, scale, bicubic=shown, arrival=arrival)[0, 0].cpu().numpy()
    part = down.part, across.part
    return display.moved(bicubic[part], before[part], after[part])


def strengthened(
    model: Model,
    low: Tensor,
    scale: int,
    strength: float,
    done: Callable[[int], object] | None = None,
    bicubic: Tensor | None = None,
    arrival: Told | None = None,
) -> Tensor:
    """Return the same as `restore` of which only the share `strength` is changed: 1 for all, 0 for the bicubic image itself."""
    network_for(model, scale)
    if strength == 1:
        return restore(model, low, scale, done, bicubic, arrival)
    bicubic = enlarge(low, scale) if bicubic is None else bicubic
    return bicubic.lerp(restore(model, low, scale, done, bicubic, arrival), strength) if strength else bicubic.clone()


def restore(
    model: Model,
    low: Tensor,
    scale: int,
    done: Callable[[int], object] | None = None,
    bicubic: Tensor | None = None,
    arrival: Told | None = None,
) -> Tensor:
    """Return what `model` makes of low-resolution images (N, 1, H, W), float32 in [0, 1] on its device: `scale` times as large.

    `bicubic` is the same `enlarge`d, where that is there already. `done` is told the pixels of each finished tile.
    A network that is told how radiographs arrived is told `arrival`, or else what is found of each of them.
    Raises UserError when `model` was not trained for `scale`.
    """
    network = network_for(model, scale)
    bicubic = enlarge(low, scale) if bicubic is None else bicubic
    if is_told(network):
        ranges = model.described.get("ranges")
        low = beside(low, [within(arrival or found(image), ranges) for image in low])
    images = (low, bicubic) if is_post_upsampling(network) else (bicubic, None)
    with repeatable():
        run, halo, single = model.running[scale], cast(int, network.halo), model.precision == torch.float32
        return tiled(run, halo, images[0], done=done, bicubic=images[1], single=single)
