"""Any radiograph's file, whatever its name, as the grey levels that a reader would see."""

from pathlib import Path
from typing import NamedTuple

from cxr.formats.decode import Grey, opened
from cxr.formats.depth import few, in_bits, measured
from cxr.formats.dicom.header import is_dicom


class Decoded(NamedTuple):
    """A radiograph's grey levels."""

    pixels: Grey
    """(H, W), 0 black and 2**bits - 1 white; uint8 of up to 8 bits, else uint16."""
    bits: int
    remarks: tuple[str, ...]
    """What the user should know of the file, a line each, without its name."""


def read(path: Path, bits: int | None = None, any_modality: bool = False) -> Decoded:
    """Return the radiograph in a JPEG, PNG, TIFF, BMP or DICOM file, told by its content; of several pages the first.

    Of DICOM, what is seen through its first VOI transformation, as 2**BitsStored levels; `any_modality` takes other pictures
    than radiographs. `bits` overrides the depth that is found.
    Raises Unusable("damaged") for what cannot be read, Unusable("no radiograph") for another modality; UserError when values
    exceed `bits`; OSError when the file cannot be opened.
    """
    if is_dicom(path):
        from cxr.formats.dicom import radiograph  # noqa: PLC0415 - who has no DICOM need not wait for pydicom

        found = radiograph.read(path, bits, any_modality)
        pixels = found.pixels()
        return Decoded(pixels, found.bits, (*found.remarks, *few(pixels)))
    levels = measured(opened(path), path, bits)
    return Decoded(in_bits(levels.levels >> levels.shift, levels.bits), levels.bits, levels.remarks)
