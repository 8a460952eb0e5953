"""One radiograph file as an image that can be packed."""

import hashlib
from pathlib import Path
from typing import NamedTuple, assert_never

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cxr.dataset.boxes import Window
from cxr.dataset.packed import Pixels, white
from cxr.dataset.settings import Normalise, Preprocess
from cxr.formats.decode import Grey, Unusable
from cxr.formats.read import read

_PERCENTILES = (0.5, 99.5)


class Prepared(NamedTuple):
    """One file, ready to pack."""

    pixels: Pixels
    """(H, W), uint8, or uint16 where it is deeper than 8 bits, from 0 to 2**bits - 1."""
    bits: int
    rows: int
    """Of the file itself."""
    columns: int
    sha256: str
    """The `digest` of the file's own pixels."""
    remarks: tuple[str, ...]
    """What the user is to be told of the file, in a line each."""


def prepare(pixels: Grey, bits: int, settings: Preprocess) -> Pixels:
    """Return a grey image (height, width), uint8 or uint16 from 0 to 2**bits - 1, reduced, of the same levels and dtype.

    All of it, or its central square (`settings.frame`); the shorter side becomes `settings.size`, and the longer one keeps the
    proportion, rounded. Reduced by antialiased bicubic interpolation (a = -0.5, Pillow's, on float32), which is MATLAB's
    imresize: the ground truth is made as the papers make every image, and PSNR compares only between images reduced alike
    (`docs/log.md`, 2026-11-25).
    Grey levels (`settings.normalise`): "none" keeps them, "minmax" brings the darkest and brightest pixel of what is reduced to
    black and white, "percentile" its 0.5th and 99.5th percentile, clipped; rounded. An image of one level becomes 0 under the
    latter two. Raises Unusable("too small") when the shorter side is below `settings.size`: ground truth is never enlarged.
    """
    height, width = pixels.shape
    if min(height, width) < settings.size:
        raise Unusable("too small", f"{width}x{height} pixels; the shorter side is below preprocess.size {settings.size}")
    top, left, rows, columns = Window.of(height, width, settings.frame)
    kept = pixels[top : top + rows, left : left + columns].astype(np.float32)
    shape = _shape(rows, columns, settings.size)
    reduced = np.asarray(Image.fromarray(kept).resize(shape[::-1], Image.Resampling.BICUBIC))
    most = white(bits)
    low, high = _range(reduced, settings.normalise, most)
    scaled = (reduced - low) * (most / (high - low) if high > low else 0)
    levels = np.clip(np.rint(scaled), 0, most)
    return levels.astype(np.uint8) if pixels.dtype == np.uint8 else levels.astype(np.uint16)


def prepare_file(raw: Path, settings: Preprocess, name: str) -> Prepared | Unusable:
    """Return the file `raw`/`name` prepared, or why it cannot be."""
    if not (raw / name).is_file():  # which a pipe, for one, would make wait for ever
        return Unusable("damaged", "no file, but a folder, a device or a link that leads nowhere")
    try:
        decoded = read(raw / name)
        prepared = prepare(decoded.pixels, decoded.bits, settings)
    except Unusable as unusable:
        return Unusable(unusable.kind, unusable.reason)  # without the traceback, whose frames hold the pixels
    if prepared.min() == prepared.max():
        return Unusable("damaged", "blank: what is used of it has one grey level")
    rows, columns = decoded.pixels.shape
    return Prepared(prepared, decoded.bits, rows, columns, digest(decoded.pixels), decoded.remarks)


def digest(pixels: Grey) -> str:
    """Return the SHA-256, in hex, of a line with dtype and shape, such as uint16 600x800, and the little-endian pixels."""
    header = f"{pixels.dtype.name} {'x'.join(map(str, pixels.shape))}\n".encode()
    return hashlib.sha256(header + pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()).hexdigest()


def _shape(rows: int, columns: int, size: int) -> tuple[int, int]:
    """Return `rows` and `columns` reduced so that the fewer of them are `size`."""
    shorter = min(rows, columns)
    return round(rows * size / shorter), round(columns * size / shorter)


def _range(levels: NDArray[np.float32], normalise: Normalise, most: int) -> tuple[float, float]:
    match normalise:
        case "none":
            return 0, most
        case "minmax":
            return float(levels.min()), float(levels.max())
        case "percentile":
            low, high = np.percentile(levels, _PERCENTILES)
            return float(low), float(high)
    assert_never(normalise)
