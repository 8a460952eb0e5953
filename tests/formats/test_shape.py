import numpy as np
import pytest
from PIL import Image

from cxr.formats.decode import Unusable
from cxr.formats.shape import shape
from tests.support.dicom_files import dataset, save, values


@pytest.mark.parametrize("suffix", [".png", ".jpeg", ".tif", ".bmp"])
def test_images(tmp_path, suffix):
    Image.fromarray(np.zeros((30, 40), np.uint8)).save(tmp_path / f"a{suffix}")
    assert shape(tmp_path / f"a{suffix}") == (30, 40)


@pytest.mark.parametrize(("orientation", "expected"), [(1, (30, 40)), (3, (30, 40)), (6, (40, 30)), (8, (40, 30))])
def test_an_image_that_lies_on_its_side_counts_upright(tmp_path, orientation, expected):
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(np.zeros((30, 40), np.uint8)).save(tmp_path / "a.jpeg", exif=exif)
    assert shape(tmp_path / "a.jpeg") == expected


def test_dicom(tmp_path):
    save(dataset(values(height=18, width=14)), tmp_path / "1.2.3")
    assert shape(tmp_path / "1.2.3") == (18, 14)


@pytest.mark.parametrize("content", [b"", b"text", bytes(128) + b"DICM", b"\x89PNG\r\n\x1a\n"])
def test_what_says_no_shape(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(Unusable) as error:
        shape(tmp_path / "a")
    assert error.value.kind == "damaged"
    assert error.value.reason
