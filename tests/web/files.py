"""Small radiographs' files for the server."""

import io

import numpy as np
from PIL import Image

from tests.support.dicom_files import dataset


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def dicom(stored: np.ndarray, bits: int = 12, **more: object) -> bytes:
    file = io.BytesIO()
    dataset(stored, bits, **more).save_as(file, enforce_file_format=True)
    return file.getvalue()
