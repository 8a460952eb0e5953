"""No image file takes long: small ones can be made of more pieces, strips, pages or scans than radiographs ever have."""

import io
import struct
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from cxr.formats.container import container
from cxr.formats.decode import Unusable, opened
from cxr.formats.metered import Metered

GREY = np.random.default_rng(0).integers(0, 256, (40, 30), np.uint8)
MANY = 1_000_000


def saved(kind, pixels=GREY, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def png_of_empty_chunks(count=MANY):
    whole, chunk = saved("PNG"), struct.pack(">I4sI", 0, b"teSt", zlib.crc32(b"teSt"))
    return whole[:33] + chunk * count + whole[33:]


def png_of_empty_pixels(count=MANY):
    whole, chunk = saved("PNG"), struct.pack(">I4sI", 0, b"IDAT", zlib.crc32(b"IDAT"))
    return whole[:33] + chunk * count + whole[33:]


def jpeg_of_fill(count=5 * MANY):
    whole = saved("JPEG")
    return whole[:2] + b"\xff" * count + whole[2:]


def jpeg_of_empty_comments(count=MANY):
    whole = saved("JPEG")
    return whole[:2] + b"\xff\xfe\0\2" * count + whole[2:]


def tiff(entries, data, order="<"):
    """A TIFF of one directory, then `data`, 122 bytes from the start where there are nine entries."""
    found = b"".join(struct.pack(f"{order}HHII", *entry) for entry in entries)
    return struct.pack(f"{order}2sHIH", b"II" if order == "<" else b"MM", 42, 8, len(entries)) + found + bytes(4) + data


def tiff_of_strips(count=MANY, order="<"):
    short = 3 if order == "<" else 4  # where a value of a byte or two lies in its four bytes depends on the order
    entries = [
        *((256, short, 1, 4), (257, 4, 1, count), (258, 4, 1, 8), (259, 4, 1, 1), (262, 4, 1, 1)),
        *((273, 3, count, 122), (277, 4, 1, 1), (278, 4, 1, 1), (279, 3, count, 122)),
    ]
    return tiff(entries, struct.pack(f"{order}H", 8) * count + bytes(2 * count + 100), order)


def big_tiff_of_strips(count=MANY):
    entries = [(256, 4, 1, 4), (257, 4, 1, count), (273, 16, count, 1000)]
    found = b"".join(struct.pack("<HHQQ", *entry) for entry in entries)
    return struct.pack("<2sHHHQQ", b"II", 43, 8, 0, 16, len(entries)) + found + bytes(8 + 8 * count)


def tiff_of_pages(count=30_000):
    whole = bytearray(saved("TIFF"))
    whole += bytes(len(whole) % 2)
    (at,) = struct.unpack_from("<I", whole, 4)
    (entries,) = struct.unpack_from("<H", whole, at)
    page, start = bytes(whole[at : at + 2 + 12 * entries]), len(whole)
    struct.pack_into("<I", whole, at + len(page), start)
    size = len(page) + 4
    return bytes(whole) + b"".join(page + struct.pack("<I", start + (each + 1) * size) for each in range(count))


def tiff_of_strips_on_its_second_page(count=MANY, order="<"):
    many = tiff_of_strips(count, order)
    first = bytearray(tiff_of_strips(40, order))
    start = len(first) + len(first) % 2
    struct.pack_into(f"{order}I", first, 8 + 2 + 9 * 12, start)
    return bytes(first).ljust(start, b"\0") + many[8:]


def jpeg_of_scans(count=2_000, side=2_000, progressive=True):
    whole = saved("JPEG", np.zeros((side, side), np.uint8), progressive=progressive)
    last = whole[whole.rfind(b"\xff\xda") : -2]
    return whole[:-2] + last * count + whole[-2:]


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (png_of_empty_chunks, "more than 100,000 pieces"),
        (png_of_empty_pixels, "more than 100,000 pieces"),
        (jpeg_of_fill, "more than 100,000 pieces"),
        (jpeg_of_empty_comments, "more than 100,000 pieces"),
        (tiff_of_strips, "a TIFF of more than 100,000 strips"),
        (lambda: tiff_of_strips(order=">"), "a TIFF of more than 100,000 strips"),
        (tiff_of_strips_on_its_second_page, "a TIFF of more than 100,000 strips"),
        (lambda: tiff_of_strips_on_its_second_page(order=">"), "a TIFF of more than 100,000 strips"),
        (big_tiff_of_strips, "a TIFF of more than 100,000 strips"),
        (jpeg_of_scans, "a JPEG of more scans than encoders write"),
        (lambda: jpeg_of_scans(progressive=False), "a JPEG of more scans than encoders write"),
    ],
)
def test_no_file_of_many_pieces_takes_long(tmp_path, made, reason):
    path = tmp_path / "a"
    path.write_bytes(made())
    begun = time.monotonic()
    with pytest.raises(Unusable, match=f"^{reason}$") as error:
        opened(path)
    container(path)
    assert error.value.kind == "damaged"
    assert time.monotonic() - begun < 5


def test_pages_are_not_counted(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(tiff_of_pages())
    begun = time.monotonic()
    found = opened(path)
    assert found.several
    assert np.array_equal(found.levels, GREY)
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    "made",
    [
        *(lambda kind=kind: saved(kind) for kind in ("PNG", "JPEG", "TIFF", "BMP")),
        lambda: saved("JPEG", np.zeros((4000, 4000), np.uint8), progressive=True),
        lambda: png_of_empty_chunks(100),
        lambda: jpeg_of_empty_comments(100),
        lambda: tiff_of_strips(2000),
        lambda: tiff_of_strips(2000, ">"),
        lambda: tiff_of_pages(3),
        lambda: tiff_of_strips_on_its_second_page(2000),
        lambda: jpeg_of_scans(50, 100),
    ],
)
def test_what_radiographs_have_is_let_through(tmp_path, made):
    path = tmp_path / "a"
    path.write_bytes(made())
    with Image.open(path) as image:
        size = image.size
    assert opened(path).levels.shape == size[::-1]
    assert container(path).kind


@pytest.mark.parametrize(
    "content", [b"", b"II", b"II*\0", b"II*\0" + b"\xff" * 12, b"MM\0+" + b"\xff" * 40, b"II+\0\x08\0\0\0"]
)
def test_a_broken_beginning_is_no_failure(tmp_path, content):
    path = tmp_path / "a"
    path.write_bytes(content)
    with Metered(path) as file:
        assert file.read() == content
        assert file.fileno()


def test_a_file_ends_after_its_pieces(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(bytes(10))
    with Metered(path) as file, pytest.raises(ValueError, match="more than 100,000 pieces"):
        list(iter(lambda: file.read(0), b"never"))
