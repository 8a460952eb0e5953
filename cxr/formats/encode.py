"""Grey levels as an image file, with a note in it."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from cxr.formats.container import IMAGE_DESCRIPTION, RESOLUTION_UNIT, X_RESOLUTION, Y_RESOLUTION, Density, Unit
from cxr.foundation.errors import UserError
from cxr.foundation.files import replacing

JPEG_QUALITY = 95  # beyond it files grow faster than errors shrink
JFIF_UNITS = 13  # where a JFIF file says what its density is counted by (ITU-T T.871, 10.1)
MOST_OF_JFIF, MOST_OF_OTHERS = (1 << 16) - 1, (1 << 32) - 1
NUMBERS: dict[Unit, int] = {"inch": 2, "cm": 3}  # of TIFF's units

FORMATS = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG"),
    ".png": "PNG",
    **dict.fromkeys((".tif", ".tiff"), "TIFF"),
}
"""By suffix, the formats that can be written and hold a note."""
SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "TIFF": ".tif"}
"""By format, the suffix of a file whose source's name may not be told."""


def encode(
    path: Path,
    levels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16],
    note: str,
    bits: int | None = None,
    kind: str = "",
    density: Density | None = None,
) -> None:
    """Write `levels` to `path`, whole or not at all, and `note` (ASCII) in it.

    `levels` are (H, W), uint8 or uint16 with 0 as black, or colour (H, W, 3), uint8. `kind` is what `format_of` returns, which
    it does here where it is not given. PNG and TIFF keep every level; JPEG, of 8 bits, loses a little. White is 2**bits - 1, or
    the greatest value of the dtype; a PNG says so where that is less (sBIT chunk).
    `density` is kept in its own unit, where the format has that: JPEG and TIFF count by inch or cm, JPEG in whole numbers up to
    65,535, PNG in whole numbers by the metre. What a format cannot hold is left out.
    Raises UserError for what `format_of` does, and for 16 bits in a JPEG.
    """
    kind = kind or format_of(path)
    container = 8 * levels.dtype.itemsize
    if kind == "JPEG" and container != 8:
        raise UserError(f"{path}: a JPEG holds 8 bits a pixel, this radiograph has 16; write a .png or .tif")
    image = Image.fromarray(levels)
    with replacing(path) as partial:
        match kind:
            case "JPEG":
                _save_jpeg(image, partial, note, density)
            case "PNG":
                text = PngInfo()
                if bits is not None and bits < container:
                    text.add(b"sBIT", bytes([bits]))
                text.add_text("Description", note)
                given = _held(density, ("metre",), MOST_OF_OTHERS, whole=True)
                more: dict[str, Any] = {"dpi": tuple(float(each * Fraction("0.0254")) for each in given[:2])} if given else {}
                image.save(partial, kind, pnginfo=text, **more)
            case "TIFF":
                given = _held(density, ("cm", "inch"), MOST_OF_OTHERS)
                tags: dict[int, Any] = {IMAGE_DESCRIPTION: note}
                if given:
                    tags |= {X_RESOLUTION: float(given.x), Y_RESOLUTION: float(given.y), RESOLUTION_UNIT: NUMBERS[given.unit]}
                image.save(partial, kind, tiffinfo=tags, compression="tiff_adobe_deflate")


def _save_jpeg(image: Image.Image, path: Path, note: str, density: Density | None) -> None:
    given = _held(density, ("inch", "cm"), MOST_OF_JFIF, whole=True)
    more: dict[str, Any] = {"dpi": (int(given.x), int(given.y))} if given else {}
    image.save(path, "JPEG", quality=JPEG_QUALITY, comment=note, **more)
    if given and given.unit == "cm":  # which Pillow does not write
        with path.open("r+b") as file:
            file.seek(JFIF_UNITS)
            file.write(bytes([NUMBERS["cm"] - 1]))


def _held(density: Density | None, units: tuple[Unit, ...], most: int, whole: bool = False) -> Density | None:
    """Return `density` by one of `units`, its own or else the first of them, if a file holds such numbers."""
    if density is None:
        return None
    given = density if density.unit in units else density.per(units[0])
    if whole:
        given = given._replace(x=Fraction(round(given.x)), y=Fraction(round(given.y)))
    return given if all(0 < each <= most for each in given[:2]) else None


def format_of(path: Path, source: str = "") -> str:
    """Return as what `path` is written: what its suffix says, or, where that means no picture, `source`, as its source is.

    Raises UserError when that is none of FORMATS.
    """
    suffix = path.suffix.lower()
    kind = FORMATS.get(suffix, "" if is_picture(path) else source)
    if kind not in FORMATS.values():
        said = suffix if is_picture(path) else kind or suffix or "a file without suffix"
        why = f"{said}, which has no place for the note that a result carries" if said in {".bmp", "BMP"} else said
        raise UserError(f"{path}: cannot be written as {why}; name a result that ends in {', '.join(FORMATS)}")
    return kind


def is_picture(path: Path) -> bool:
    """Tell whether the suffix of `path` is that of a picture, of whatever format that Pillow knows."""
    return path.suffix.lower() in Image.registered_extensions()
