"""What de-identification makes of single values: text that poses as numbers, tables, and kinds of images."""

import struct

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import MRImageStorage

from cxr.formats.dicom.deidentify.header import deidentified
from cxr.formats.dicom.deidentify.key import Key
from tests.support.dicom_files import dataset, save, values


def result(path, *elements, **more):
    """Return the de-identified header of an image with raw elements: tag, value representation, bytes."""
    data = dataset(values(), **more)
    for tag, kind, value in elements:
        data[tag] = RawDataElement(Tag(tag), kind, len(value), value, 0, False, True)
    data.set_original_encoding(False, True, "iso8859")
    return deidentified(dcmread(save(data, path)), Key(bytes(32)))[0]


@pytest.mark.parametrize(
    ("tag", "kind", "value"),
    [
        (0x00189313, "FD", b"GEHEIM MUELLER 19491207 "),
        (0x00189313, "FD", struct.pack("<2d", 1.5, 2) + b"19491207"),
        (0x00189305, "FD", b"GEHEIM_M"),
        (0x0008040C, "UV", b"GEHEIM_M"),
        (0x0008040C, "UV", b"GEHEIM\0\0"),
        (0x00189328, "FD", "M\xfcller19".encode("latin-1")),
        (0x00189328, "FD", "M\xfcller\0\0".encode("latin-1")),
        (0x00189328, "FD", "M\u00fcller1".encode()),
        (0x00189328, "FD", "\u041c\u044e\u043b\u043b\u0435\u044012".encode("cp1251")),
        (0x00189313, "FD", b"MUELLER@ANNA-LE@ANNA-LE?"),
        (0x0066001A, "FL", b"ANNABELLGEHEIM_AGEHEIMER"),
        (0x0066001A, "FL", b"GEHEIM MUELLER 19491207 "),
        (0x0066001A, "FL", "J\xf6rg M\xfcller, geboren 49".encode("latin-1")[:24]),
        (0x20400011, "US", b"GEHEIM MUELLER 19491207 " * 8),
        (0x20400011, "US", "M\xfcller".encode("latin-1").ljust(8)),
    ],
)
def test_text_that_poses_as_numbers_goes(tmp_path, tag, kind, value):
    assert tag not in result(tmp_path / "in.dcm", (tag, kind, value))


@pytest.mark.parametrize("kept", [0.0, 0.1, -1.5, 2.0, 34.2578125, 100.25, 479.9, 1e-5, 3e8, float(np.float32(100.1))])
def test_numbers_stay(tmp_path, kept):
    assert result(tmp_path / "in.dcm", (0x00189305, "FD", struct.pack("<d", kept)))[0x00189305].value == kept


@pytest.mark.parametrize("kept", [[0.0, 1.5, 0.1, -2.0, 1e6, 3.25], [100.1, 2.2, 3.3, 44.4, 5.5, 6.6], [0.0] * 6])
def test_shorter_numbers_stay(tmp_path, kept):
    drawn = np.array(kept, "<f4")
    assert list(result(tmp_path / "in.dcm", (0x0066001A, "FL", drawn.tobytes()))[0x0066001A].value) == drawn.tolist()


@pytest.mark.parametrize("kept", [[1, 2, 3, 4], [0, 0, 0, 0], [4095, 65535, 300, 7], [65535] * 4])
def test_lists_of_whole_numbers_stay(tmp_path, kept):
    made = result(tmp_path / "in.dcm", (0x20400011, "US", np.array(kept, "<u2").tobytes()))
    assert list(made[0x20400011].value) == kept


@pytest.mark.parametrize("kept", [0, 7, 1 << 24, (1 << 64) - 1])
def test_whole_numbers_stay(tmp_path, kept):
    assert result(tmp_path / "in.dcm", (0x0008040C, "UV", struct.pack("<Q", kept)))[0x0008040C].value == kept


def test_numbers_of_either_precision_stay(tmp_path):
    random = np.random.default_rng(0)
    drawn = np.concatenate(
        [random.uniform(8, 480, 400), random.uniform(8, 480, 400).astype(np.float32), random.normal(size=400)]
    )
    for three in drawn.reshape(-1, 3)[:100]:
        out = result(tmp_path / "in.dcm", (0x00189313, "FD", three.astype("<f8").tobytes()))
        assert list(out[0x00189313].value) == three.tolist()


def test_a_presentation_lut_is_kept_as_other_tables_are(tmp_path):
    table = Dataset()
    table.LUTDescriptor, table.LUTExplanation = [4096, 0, 12], "GEHEIM"
    table.LUTData = np.arange(4096)[::-1].astype("<u2").tobytes()
    table["LUTData"].VR = "OW"
    (kept,) = result(tmp_path / "in.dcm", PresentationLUTSequence=[table]).PresentationLUTSequence
    assert (list(kept.LUTDescriptor), kept.LUTData) == ([4096, 0, 12], table.LUTData)
    assert "LUTExplanation" not in kept


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        (["ORIGINAL", "PRIMARY", "GEHEIM"], ["ORIGINAL", "PRIMARY", "OTHER"]),
        (["ORIGINAL", "PRIMARY"], ["ORIGINAL", "PRIMARY", "OTHER"]),
        (["DERIVED", "SECONDARY", "PHASE MAP"], ["DERIVED", "SECONDARY", "PHASE MAP"]),
        (["ORIGINAL", "PRIMARY", "T1 MAP", "GEHEIM"], ["ORIGINAL", "PRIMARY", "T1 MAP"]),
    ],
)
def test_the_type_of_an_mr_image_has_the_third_value_that_it_must_have(tmp_path, written, kept):
    out = result(tmp_path / "in.dcm", SOPClassUID=MRImageStorage, Modality="MR", ImageType=written)
    assert list(out.ImageType) == kept
