"""DICOM files made to fill the memory of who reads them, or never to end."""

import resource
import struct
import time
import zlib

import numpy as np
import pytest

from cxr.formats.decode import Unusable
from cxr.formats.dicom import bounded
from cxr.formats.dicom import radiograph as dicom
from cxr.formats.dicom.header import header
from cxr.formats.shape import shape
from tests.support.dicom_files import DeflatedExplicitVRLittleEndian, dataset, save, values

ITEM = struct.pack("<HHL", 0xFFFE, 0xE000, 0)
ENDLESS_ITEM = struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
ENDLESS = 0xFFFFFFFF


def element(group, number, vr, length):
    return struct.pack("<HH2sHL", group, number, vr, 0, length)


def grown(path, more):
    """Write a file of a small radiograph with `more` behind."""
    save(dataset(values()), path)
    with path.open("ab") as file:
        file.write(more)
    return path


def deflated(path, more):
    """Write a file, deflated, of a small radiograph with the pieces `more` behind."""
    content = save(dataset(values()), path, DeflatedExplicitVRLittleEndian).read_bytes()
    start = 144 + struct.unpack_from("<L", content, 140)[0]  # behind the file meta header, which says how long it is
    data = zlib.decompress(content[start:], -zlib.MAX_WBITS)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    path.write_bytes(content[:start] + b"".join(map(packer.compress, [data, *more])) + packer.flush())
    return path


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (element(0x7FF1, 0x1001, b"SQ", ENDLESS) + ITEM * 500_000, "more elements than any radiograph"),
        (
            b"".join(struct.pack("<HH2sH", 0x7FF1, index & 0xFFF, b"CS", 0) for index in range(500_000)),
            "more elements than any",
        ),
        (element(0x7FF1, 0x1001, b"SQ", ENDLESS) + (ENDLESS_ITEM + element(8, 0x1140, b"SQ", ENDLESS)) * 10_000, "recursion"),
        (element(0x7FF1, 0x1001, b"SQ", 2 << 20) + ITEM * (1 << 18), "more than 1,048,576 bytes of sequences"),
        (element(8, 0x1140, b"UN", 2 << 20) + ITEM * (1 << 18), "more than 1,048,576 bytes of sequences"),
        (element(0x7FE0, 0x10, b"OB", ENDLESS) + bytes(8_000_000), "no element of it can be read"),
    ],
    ids=["items", "elements", "nested", "sequence", "unknown", "endless"],
)
def test_a_file_of_too_many_pieces_is_named_at_once(tmp_path, more, reason):
    begun = time.monotonic()
    with pytest.raises(Unusable, match=reason) as error:
        dicom.read(grown(tmp_path / "in.dcm", more))
    assert error.value.kind == "damaged"
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize("reader", [dicom.read, header, shape])
@pytest.mark.parametrize("kind", ["large", "items"])
def test_a_deflated_file_that_becomes_huge_is_named_at_once(tmp_path, monkeypatch, kind, reader):
    monkeypatch.setattr(bounded, "_INFLATED", 5_000_000)
    if kind == "large":
        more, reason = [element(0x7FF1, 0x1001, b"OB", 64 << 20), *[bytes(1 << 20)] * 64], "inflates to more than 5,000,000"
    else:
        more, reason = [element(0x7FF1, 0x1001, b"SQ", ENDLESS), ITEM * 500_000], "more elements than any radiograph"
    path = deflated(tmp_path / "in.dcm", more)
    assert path.stat().st_size < 100_000
    with pytest.raises(Unusable, match=reason):
        reader(path)


def test_a_file_larger_than_any_radiograph_is_not_read(tmp_path):
    path = grown(tmp_path / "in.dcm", b"")
    with path.open("ab") as file:
        file.truncate(1 << 36)  # of which the disk keeps nothing
    for reader in (dicom.read, header, shape):
        with pytest.raises(Unusable, match="larger than 536,870,912 bytes"):
            reader(path)


def test_a_length_that_lies_takes_no_memory(tmp_path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    path = grown(tmp_path / "in.dcm", element(0x7FF1, 0x1001, b"OB", ENDLESS - 15))
    assert np.array_equal(dicom.read(path).stored, values())
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KB


def test_what_radiographs_hold_is_within_bounds(tmp_path):
    table = b"".join(
        ENDLESS_ITEM[:4] + struct.pack("<L", 12 + 131072) + element(0x0028, 0x3006, b"OW", 131072) + bytes(131072)
        for _ in range(4)
    )
    large = element(0x0009, 0x1010, b"OB", 20 << 20) + bytes(20 << 20)
    many = b"".join(struct.pack("<HH2sH", 0x7FF1, index, b"CS", 0) for index in range(20_000))
    path = grown(tmp_path / "in.dcm", element(0x7FF1, 0x1001, b"SQ", len(table)) + table + large + many)
    assert np.array_equal(dicom.read(path).stored, values())
    assert shape(deflated(path, [large])) == (18, 14)
    assert np.array_equal(dicom.read(path).stored, values())
