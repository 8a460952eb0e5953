"""Grey levels as an image file, with a note in it."""

from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from cxr.formats.decode import Grey
from cxr.foundation.errors import UserError
from cxr.foundation.files import replacing

JPEG_QUALITY = 95  # beyond it files grow faster than errors shrink
IMAGE_DESCRIPTION = 270  # TIFF 6.0, section 8

FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".jfif": "JPEG", ".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF"}
"""By suffix, the formats that can be written and hold a note."""


def encode(path: Path, levels: Grey, note: str, bits: int | None = None) -> None:
    """Write `levels` (H, W), uint8 or uint16 with 0 as black, to `path`, whole or not at all, and `note` (ASCII) in it.

    PNG and TIFF keep every level; JPEG, of 8 bits, loses a little. White is 2**bits - 1, or the greatest value of the dtype; a
    PNG says so where that is less (sBIT chunk).
    Raises UserError for what `refuse` does, and for 16 bits in a JPEG.
    """
    refuse(path)
    kind = FORMATS[path.suffix.lower()]
    container = 8 * levels.dtype.itemsize
    if kind == "JPEG" and container != 8:
        raise UserError(f"{path}: a JPEG holds 8 bits a pixel, this radiograph has 16; write a .png or .tif")
    image = Image.fromarray(levels)
    with replacing(path) as partial:
        match kind:
            case "JPEG":
                image.save(partial, kind, quality=JPEG_QUALITY, comment=note)
            case "PNG":
                text = PngInfo()
                if bits is not None and bits < container:
                    text.add(b"sBIT", bytes([bits]))
                text.add_text("Description", note)
                image.save(partial, kind, pnginfo=text)
            case "TIFF":
                image.save(partial, kind, tiffinfo={IMAGE_DESCRIPTION: note}, compression="tiff_adobe_deflate")


def refuse(path: Path) -> None:
    """Raise UserError when the suffix of `path` is none of FORMATS."""
    if path.suffix.lower() not in FORMATS:
        kinds = ", ".join(FORMATS)
        raise UserError(
            f"{path}: cannot be written as {path.suffix or 'a file without suffix'}; name a result that ends in {kinds}"
        )
