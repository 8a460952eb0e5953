"""Any radiograph file as an array of grey levels."""

import logging
import os
import struct
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from cxr.formats.metered import Metered, scans

Grey = NDArray[np.uint8] | NDArray[np.uint16]
Kind = Literal["damaged", "too small", "duplicate", "no radiograph", "external patient"]

MAX_PIXELS = 100_000_000
"""The largest radiographs have some 20 million pixels; a small file that claims more than this is made to fill the memory."""

MAX_SCANS = 20
"""Of a JPEG of MAX_PIXELS; in proportion more of a smaller one. Encoders write some ten."""

_FORMATS = ("BMP", "JPEG", "PNG", "TIFF")
_LOUD = {"PNG", "TIFF"}
_JPEG = {"JPEG", "MPO"}
_GREY_16 = ("I;16", "I;16B", "I;16L", "I;16N")

# TIFF tags
_BITS, _PHOTOMETRIC, _ORIENTATION, _PLANAR, _SAMPLE_FORMAT = 258, 262, 274, 284, 339
_WHITE_IS_ZERO, _RGB, _SEPARATE_PLANES, _SIGNED = 0, 2, 2, 2

_SBIT, _PALETTE, _PIXELS, _ALPHA = b"sBIT", b"PLTE", b"IDAT", 4  # PNG's chunks, and the bit of its colour type

# How to bring an image upright from each value of the orientation tag (TIFF 6.0, and Exif after it).
_UPRIGHT: dict[int, Callable[[Any], Any]] = {
    2: np.fliplr,
    3: lambda pixels: np.rot90(pixels, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.rot90(pixels, 2).T,
    8: np.rot90,
}


class Unusable(Exception):  # noqa: N818 - a property of the file, no fault of the program
    """A file that cannot become a ground-truth image: `kind` for tables, `reason` in one line."""

    def __init__(self, kind: Kind, reason: str, quotes: bool = False) -> None:
        super().__init__(kind, reason)
        self.kind, self.reason = kind, reason
        self.quotes = quotes  # whether the reason may quote the file, as those of libraries do

    def __str__(self) -> str:
        return self.reason


class Opened(NamedTuple):
    """What an image file holds."""

    levels: Grey
    """(H, W), upright, uint8 or uint16, as they are stored."""
    white_is_zero: bool
    """Whether 0 is white, which is so of some TIFFs of 16 bits."""
    significant: int | None
    """The bits that a PNG's sBIT chunk says were measured (PNG, third edition, 11.3.2.7), if it has one."""
    several: bool
    """Whether the file has further pages or frames, of which this is the first."""


def decode(path: Path) -> Grey:
    """Return the first image of a JPEG, PNG, TIFF or BMP file as grey levels of shape (height, width), upright.

    uint8, or uint16 for files of 16 bits a channel: 0 is black and the greatest value of the dtype white, also where the
    file stores white as 0. Raises as `opened` does.
    """
    found = opened(path)
    return np.invert(found.levels) if found.white_is_zero else found.levels


def opened(path: Path) -> Opened:
    """Return the first image of a JPEG, PNG, TIFF or BMP file.

    Colour becomes BT.601 luma, 0.299 R + 0.587 G + 0.114 B, which leaves RGB-coded grey as it is.
    Alpha is ignored: the levels under it are what was measured, and a file does not say on what to lay them.
    Raises Unusable("damaged") for what cannot be read, or has more than MAX_PIXELS pixels; OSError when the file cannot
    be opened.
    """
    # Opened here, not by Pillow: from a path, Pillow 13 maps uncompressed TIFFs lying on their side with the wrong width.
    with as_unusable(OSError), Metered(path) as file:
        if not os.fstat(file.fileno()).st_size:
            raise Unusable("damaged", "the file is empty")
        try:
            # libtiff, OpenCV and libpng report to the process's standard error themselves.
            with Image.open(file, formats=_FORMATS) as image, silence() if image.format in _LOUD else nullcontext():
                if image.width * image.height > MAX_PIXELS:
                    raise Unusable("damaged", f"more than {MAX_PIXELS:,} pixels")
                if image.format in _JPEG and scans(file) * image.width * image.height > MAX_SCANS * MAX_PIXELS:
                    raise Unusable("damaged", "a JPEG of more scans than encoders write")
                several = _several(image)
                levels, white_is_zero = _grey(image, file)
                significant = _significant(file) if image.format == "PNG" else None
                return Opened(levels, white_is_zero, significant, several)
        except Unusable:
            raise
        except UnidentifiedImageError:
            raise Unusable("damaged", f"not a readable {', '.join(_FORMATS)} file") from None
        except Image.DecompressionBombError:
            raise Unusable("damaged", f"more than {MAX_PIXELS:,} pixels") from None
        except Exception as error:
            # Broken bytes lead decoders astray anywhere: OSError, SyntaxError, KeyError, struct.error, ...
            raise Unusable("damaged", _reason(error), quotes=True) from error


def _grey(image: Any, file: IO[bytes]) -> tuple[Grey, bool]:
    """Return the levels, and whether 0 is white among them."""
    bits = _bits(image)
    tags = image.tag_v2 if image.format == "TIFF" else {}
    signed = _SIGNED in np.atleast_1d(tags.get(_SAMPLE_FORMAT, 1))
    if signed or image.mode in {"I", "F"} or (image.mode in _GREY_16 and bits != 16):
        raise Unusable("damaged", f"{bits} bits a pixel, signed or of unusual depth; save it with 8 or 16, unsigned")
    if bits > 8 and image.mode not in _GREY_16:
        # Pillow would keep 8 of the 16 bits.
        return _deep_colour(image, tags, file), False
    white_is_zero = tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
    image.load()
    if image.mode in _GREY_16:
        # Pillow turns white-is-zero the right way round at 8 bits, but not at 16.
        return _upright(np.asarray(image).astype(np.uint16), _orientation(image)), white_is_zero
    colour = image.convert("RGB") if image.mode in {"P", "PA"} else image
    return _upright(np.asarray(colour.convert("L")), _orientation(image)), False


def _several(image: Any) -> bool:
    try:
        if image.format != "TIFF":
            return int(getattr(image, "n_frames", 1)) > 1
        image.seek(1)  # since to count the pages of a TIFF takes long
    except Exception:  # what is broken lies behind the first, which is good without it
        image.seek(0)
        return False
    image.seek(0)
    return True


def _significant(file: IO[bytes]) -> int | None:
    """Return what the sBIT chunk of a PNG says of its grey or colour channels, if it is there."""
    file.seek(25)  # behind signature, length, name, width, height and depth
    colour_type = file.read(1)[0]
    file.seek(8)
    while len(head := file.read(8)) == 8:
        length, name = struct.unpack(">I4s", head)
        if name == _SBIT:
            bits = file.read(length)
            return max(bits[:-1] if colour_type & _ALPHA else bits, default=0) or None
        if name in {_PALETTE, _PIXELS}:  # which it stands before
            break
        file.seek(length + 4, os.SEEK_CUR)
    return None


def _deep_colour(image: Any, tags: Any, file: IO[bytes]) -> Grey:
    """Return the luma of 16-bit colour, and of 16-bit grey with alpha."""
    if tags and (tags.get(_PHOTOMETRIC) != _RGB or tags.get(_PLANAR) == _SEPARATE_PLANES):
        raise Unusable("damaged", "16-bit TIFF neither grey nor RGB with its channels together; save it as one of these")
    orientation = _orientation(image)
    file.seek(0)
    encoded = bytearray(file.read())
    if tags and orientation != 1:
        _lay_flat(encoded)
    pixels = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16 or pixels.ndim != 3:
        raise Unusable("damaged", "16-bit colour that cannot be decoded")
    blue, green, red = (pixels[..., channel].astype(np.uint32) for channel in range(3))
    # Pillow's own integer weights, which add up to 1 << 16 exactly.
    luma = (red * 19595 + green * 38470 + blue * 7471 + (1 << 15)) >> 16
    return _upright(luma.astype(np.uint16), orientation)


def _lay_flat(tiff: bytearray) -> None:
    """Set the orientation in the first directory of `tiff` to 1: OpenCV 5 fails on TIFFs that lie on their side."""
    order = "<" if tiff[:2] == b"II" else ">"
    version, directory = struct.unpack_from(f"{order}HI", tiff, 2)
    if version != 42:
        raise Unusable("damaged", "a turned BigTIFF with 16-bit colour; save it upright")
    (entries,) = struct.unpack_from(f"{order}H", tiff, directory)
    for entry in range(directory + 2, directory + 2 + 12 * entries, 12):
        if struct.unpack_from(f"{order}H", tiff, entry)[0] == _ORIENTATION:
            struct.pack_into(f"{order}H", tiff, entry + 8, 1)


def _bits(image: Any) -> int:
    if image.format == "TIFF":
        return int(max(image.tag_v2.get(_BITS, (1,))))
    return 16 if any(";16" in str(tile.args) for tile in image.tile) else 8


def _orientation(image: Any) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # broken Exif data come as any exception, and the pixels are good without them
        return 1


def _upright(pixels: Any, orientation: int) -> Grey:
    upright: Grey = np.ascontiguousarray(_UPRIGHT.get(orientation, np.asarray)(pixels))
    return upright


def _reason(error: Exception) -> str:
    """Return what `error` says in one line, without the traceback that pydicom adds."""
    return " ".join(str(error).partition("Traceback")[0].split()) or type(error).__name__


class _Shared:
    """A change to this whole process that the first thread to need it makes, and the last takes back.

    Were each to make and take back its own, one that ends in between would bring back what it had found: another's change.
    """

    def __init__(self, change: Callable[[], AbstractContextManager[None]]) -> None:
        self._change, self._lock, self._inside = change, threading.Lock(), 0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if not self._inside:
                self._made = self._change()
                self._made.__enter__()
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if not self._inside:
                    self._made.__exit__(None, None, None)


@contextmanager
def _nowhere() -> Iterator[None]:
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@contextmanager
def _ignored() -> Iterator[None]:
    log = logging.getLogger("pydicom")  # which writes values of elements to whatever handlers an application has
    before = log.disabled
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        log.disabled = True
        try:
            yield
        finally:
            log.disabled = before


silence = _Shared(_nowhere)
"""silence(): send what C libraries of this process write to its standard error nowhere. Safe with threads."""
no_warnings = _Shared(_ignored)
"""no_warnings(): ignore Python's and pydicom's warnings in this process. Safe with threads, as `catch_warnings` is not."""


@contextmanager
def as_unusable(let_through: type[Exception] = Unusable) -> Iterator[None]:
    """Raise Unusable("damaged") instead of any other exception than `let_through`: broken bytes lead anywhere.

    Without warnings of what the standard does not allow and files are full of.
    """
    with no_warnings():
        try:
            yield
        except (Unusable, let_through):
            raise
        except Exception as error:
            raise Unusable("damaged", _reason(error), quotes=True) from error
