"""scaffold"""

from pathlib import Path
from typing import NamedTuple

from cxr.formats.decode import Grey, decode


class Decoded(NamedTuple):
    pixels: Grey
    bits: int
    remarks: tuple[str, ...] = ()


def read(path: Path, bits: int | None = None, any_modality: bool = False) -> Decoded:
    pixels = decode(path)
    return Decoded(pixels, bits or 8 * pixels.itemsize)
