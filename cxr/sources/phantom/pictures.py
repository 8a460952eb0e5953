"""Phantoms as pictures, each of which says what it is."""

from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from cxr.sources.phantom.anatomy import Pixels

NOTE = "SYNTHETIC phantom, shows no person"
JPEG_QUALITY = 95


def write_jpeg(path: Path, pixels: Pixels) -> None:
    """Write `pixels` (H, W), uint8, with NOTE as the comment."""
    Image.fromarray(pixels).save(path, "JPEG", quality=JPEG_QUALITY, comment=NOTE)


def write_png(path: Path, pixels: Pixels, bits: int) -> None:
    """Write `pixels` (H, W), of `bits` bits, losslessly, with NOTE as the Description.

    10 and 12 bits lie in the low bits of 16, and sBIT tells how many there are, as in files that were made from DICOM.
    """
    text = PngInfo()
    text.add(b"sBIT", bytes([bits]))
    text.add_text("Description", NOTE)
    Image.fromarray(pixels).save(path, "PNG", pnginfo=text)
