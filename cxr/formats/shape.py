"""How large a radiograph is, told without decoding it."""

from pathlib import Path

from PIL import Image

from cxr.formats.decode import as_unusable
from cxr.formats.dicom.bounded import bounded
from cxr.formats.dicom.header import is_dicom

_ORIENTATION, _LYING = 274, {5, 6, 7, 8}  # the tag of TIFF 6.0 and Exif, and its values for images that lie on their side


def shape(path: Path) -> tuple[int, int]:
    """Return the height and width in pixels of the JPEG, PNG, TIFF, BMP or DICOM file `path`, upright.

    Raises Unusable("damaged") when the file does not say.
    """
    with as_unusable():
        if is_dicom(path):
            with path.open("rb") as file:
                data = bounded(file, stop_before_pixels=True, specific_tags=["Rows", "Columns"])
            return int(data.Rows), int(data.Columns)
        with Image.open(path) as image:
            lying = image.getexif().get(_ORIENTATION) in _LYING
            return (image.width, image.height) if lying else (image.height, image.width)
