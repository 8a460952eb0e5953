"""Grey levels as an image file, with a note in it."""

from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from cxr.formats.decode import Grey
from cxr.foundation.errors import UserError
from cxr.foundation.files import replacing

JPEG_QUALITY = 95  # beyond it files grow faster than errors shrink
IMAGE_DESCRIPTION = 270  # TIFF 6.0, section 8

FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF"}
"""By suffix, the formats that can be written and hold a note."""


def encode(path: Path, levels: Grey, note: str) -> None:
    """Write `levels` (H, W), uint8 or uint16 with 0 as black, to `path`, whole or not at all, and `note` (ASCII) in it.

    PNG and TIFF keep every level; JPEG, of 8 bits, loses a little.
    Raises UserError for another suffix than those of FORMATS, and for 16 bits in a JPEG.
    """
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise UserError(f"{path}: cannot be written as {path.suffix or 'a file without suffix'}; use {', '.join(FORMATS)}")
    if kind == "JPEG" and levels.dtype != np.uint8:
        raise UserError(f"{path}: a JPEG holds 8 bits a pixel, this radiograph has 16; write a .png or .tif")
    image = Image.fromarray(levels)
    with replacing(path) as partial:
        match kind:
            case "JPEG":
                image.save(partial, kind, quality=JPEG_QUALITY, comment=note)
            case "PNG":
                text = PngInfo()
                text.add_text("Description", note)
                image.save(partial, kind, pnginfo=text)
            case "TIFF":
                image.save(partial, kind, tiffinfo={IMAGE_DESCRIPTION: note}, compression="tiff_adobe_deflate")
