"""No pixel of a result looks like padding, of which the source has none there (DICOM PS3.3, C.7.5.1.1.2)."""

import numpy as np
import pytest

from cxr.formats.dicom import radiograph as dicom
from tests.support.dicom_files import dataset, save


def padded(path, stored, value, limit=None, signed=False, **more):
    """Write an image that says which of its values are padding."""
    data = dataset(stored, bits=16, signed=signed, **more)
    kind = "SS" if signed else "US"
    data.add_new("PixelPaddingValue", kind, value)
    if limit is not None:
        data.add_new("PixelPaddingRangeLimit", kind, limit)
    return save(data, path)


def ramp(least=-100, most=100, rows=8):
    return np.tile(np.arange(least, most + 1), (rows, 1))


@pytest.mark.parametrize(("value", "limit"), [(0, None), (0, 5), (-50, 50), (100, None), (100, 90), (-100, -95)])
@pytest.mark.parametrize("padding_there", [True, False])
def test_what_is_no_padding_in_the_source_is_none_in_the_result(tmp_path, value, limit, padding_there):
    least, most = sorted((value, value if limit is None else limit))
    stored = ramp()
    inside = (stored >= least) & (stored <= most)
    stored[inside] = most + 1 if most < 100 else least - 1
    if padding_there:
        stored[:, :9] = value
    source = dicom.read(padded(tmp_path / "in.dcm", stored, value, limit, signed=True))
    assert source.padding.any() == padding_there
    exact = ramp().repeat(2, 0).repeat(2, 1).astype(np.float32)  # all values there are, also those of padding
    found = source.values(exact)
    seen = ~source.padding.repeat(2, 0).repeat(2, 1)
    assert not ((found >= least) & (found <= most))[seen].any()
    assert np.array_equal(found[~seen], stored.repeat(2, 0).repeat(2, 1)[~seen])
    untouched = seen & ((exact < least) | (exact > most))
    ends = (stored[~source.padding].min(), stored[~source.padding].max()) if padding_there else (-(1 << 15), 1 << 15)
    assert np.array_equal(found[untouched], exact.clip(*ends)[untouched])


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_an_image_that_is_dark_throughout_does_not_become_padding(tmp_path, photometric):
    source = dicom.read(padded(tmp_path / "in.dcm", np.full((6, 7), 3), 0, photometric=photometric))
    found = source.values(np.full((12, 14), -0.4, np.float32))
    assert (found == 1).all()


def test_the_nearest_value_outside_of_the_padding_is_taken(tmp_path):
    source = dicom.read(padded(tmp_path / "in.dcm", ramp(100, 140), 10, 20))
    exact = np.tile(np.float32([9, 10, 12, 14.9, 15.1, 18, 20, 21]), (16, 1))
    assert source.values(np.pad(exact, ((0, 0), (0, 74)), constant_values=100))[0, :8].tolist() == [9, 9, 9, 9, 21, 21, 21, 21]
