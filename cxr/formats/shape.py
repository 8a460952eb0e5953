"""How large a radiograph is, told without decoding it."""

from pathlib import Path

import pydicom
from PIL import Image
from pydicom.errors import InvalidDicomError

from cxr.formats.decode import Unusable
from cxr.formats.header import is_dicom

_ORIENTATION, _LYING = 274, {5, 6, 7, 8}  # the tag of TIFF 6.0 and Exif, and its values for images that lie on their side


def shape(path: Path) -> tuple[int, int]:
    """Return the height and width in pixels of the JPEG, PNG, TIFF, BMP or DICOM file `path`, upright.

    Raises Unusable("damaged") when the file does not say.
    """
    try:
        if is_dicom(path):
            data = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["Rows", "Columns"], force=True)
            return int(data.Rows), int(data.Columns)
        with Image.open(path) as image:
            lying = image.getexif().get(_ORIENTATION) in _LYING
            return (image.width, image.height) if lying else (image.height, image.width)
    except (
        InvalidDicomError,
        AttributeError,
        TypeError,
        ValueError,
        OSError,
        SyntaxError,
        Image.DecompressionBombError,
    ) as error:
        raise Unusable("damaged", " ".join(str(error).split()) or type(error).__name__) from None
