"""A picture keeps its printed size, as the bytes of JPEG and PNG say and as tifffile reads."""

import struct

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from cxr.formats.container import Container, Density, container
from cxr.formats.encode import encode
from cxr.service import enhance_file
from cxr.superres.estimation.compression import nearest
from cxr.superres.model import load_model

pytestmark = pytest.mark.usefixtures("unlimited")

GREY = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (20, 30), np.uint8), (0, 0), 2)


def jpeg(path):
    """Unit and density of the JFIF header (ITU-T T.871, 10.1)."""
    data = path.read_bytes()
    assert data[:4] + data[6:11] == b"\xff\xd8\xff\xe0JFIF\0"
    return struct.unpack_from(">BHH", data, 13)


def png(path):
    """Density and unit of the pHYs chunk (PNG, third edition, 11.3.4.3)."""
    data = path.read_bytes()
    at = data.find(b"pHYs")
    return struct.unpack_from(">IIB", data, at + 4) if at > 0 else None


def tiff(path):
    with tifffile.TiffFile(path) as file:
        tags = file.pages[0].tags
        found = [tags[number].value if number in tags else None for number in (282, 283, 296)]
    return [each if each is None or isinstance(each, int) else each[0] / each[1] for each in found]


def enhanced(path, scale, name=None):
    target = path.parent / "out" / (name or path.name)
    enhance_file(path, target, load_model("srcnn"), scale)
    return target


@pytest.mark.parametrize(("unit", "number"), [("inch", 1), ("cm", 2)])
@pytest.mark.parametrize("scale", [2, 3])
def test_a_jpeg_keeps_its_printed_size(tmp_path, unit, number, scale):
    Image.fromarray(GREY).save(tmp_path / "a.jpg", dpi=(300, 150))
    data = bytearray((tmp_path / "a.jpg").read_bytes())
    data[13] = number
    (tmp_path / "a.jpg").write_bytes(data)
    assert jpeg(enhanced(tmp_path / "a.jpg", scale)) == (number, 300 * scale, 150 * scale)


@pytest.mark.parametrize("scale", [2, 3])
def test_a_png_keeps_its_printed_size(tmp_path, scale):
    Image.fromarray(GREY).save(tmp_path / "a.png", dpi=(300, 72.5))
    x, y, unit = png(tmp_path / "a.png")
    assert png(enhanced(tmp_path / "a.png", scale)) == (x * scale, y * scale, unit)


@pytest.mark.parametrize("unit", [2, 3])
def test_a_tiff_keeps_its_printed_size(tmp_path, unit):
    tifffile.imwrite(tmp_path / "a.tif", GREY, resolution=(118.11, 50), resolutionunit=unit)
    x, y, found = tiff(enhanced(tmp_path / "a.tif", 2))
    assert (x, y, found) == (pytest.approx(236.22), 100, unit)


def test_exif_alone_says_it_too(tmp_path):
    exif = Image.Exif()
    exif[282], exif[283], exif[296] = 120.0, 60.0, 3
    Image.fromarray(GREY).save(tmp_path / "a.jpg", exif=exif)
    assert jpeg(tmp_path / "a.jpg")[0] == 0
    assert jpeg(enhanced(tmp_path / "a.jpg", 2)) == (2, 240, 120)


def bare(path):
    Image.fromarray(GREY).save(path, **({"dpi": (0, 0)} if path.suffix == ".bmp" else {}))


def ratio_alone(path):
    """Write pixels of two by one, and no length."""
    if path.suffix == ".tif":
        tifffile.imwrite(path, GREY, resolution=(2, 1), resolutionunit=1)
    else:
        Image.fromarray(GREY).save(path, dpi=(2, 1))
        data = path.read_bytes()
        path.write_bytes(data[:13] + b"\0" + data[14:])


@pytest.mark.parametrize(
    ("write", "name"),
    [*((bare, name) for name in ("a.jpg", "a.png", "a.tif", "a.bmp")), (ratio_alone, "a.jpg"), (ratio_alone, "a.tif")],
)
def test_without_a_resolution_none_is_made_up(tmp_path, write, name):
    write(tmp_path / name)
    for target, found, none in (("b.jpg", jpeg, (0, 1, 1)), ("b.png", png, None), ("b.tif", tiff, [None] * 3)):
        assert found(enhanced(tmp_path / name, 2, target)) == none


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.tif", "a.png"])
def test_a_picture_on_its_side_is_as_wide_and_high_as_it_was_seen(tmp_path, name, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    if name == "a.tif":
        tifffile.imwrite(
            tmp_path / name, GREY, resolution=(300, 150), resolutionunit=2, extratags=[(274, "H", 1, orientation, True)]
        )
    else:
        Image.fromarray(GREY).save(tmp_path / name, dpi=(300, 150), exif=exif)
    sides = [30 / 300, 20 / 150]  # inches
    with Image.open(enhanced(tmp_path / name, 2)) as result:
        printed = [length / dpi for length, dpi in zip(result.size, result.info["dpi"], strict=True)]
    assert printed == pytest.approx(sides if orientation < 5 else sides[::-1], rel=1e-3)


@pytest.mark.parametrize(
    ("name", "found"), [("b.jpg", (1, 600, 300)), ("b.png", (23622, 11812, 1)), ("b.tif", [236.22, 118.12, 3])]
)
def test_another_kind_has_it_in_a_unit_of_its_own(tmp_path, name, found):
    Image.fromarray(GREY).save(tmp_path / "a.bmp", dpi=(300, 150))
    path = enhanced(tmp_path / "a.bmp", 2, name)
    read = {".jpg": jpeg, ".png": png, ".tif": tiff}[path.suffix](path)
    assert list(read) == pytest.approx(list(found), rel=1e-4)


@pytest.mark.parametrize(
    ("resolution", "unit"), [((0, 0), 2), ((4294967295, 1), 2), ((1e-9, 1e-9), 2), ((300, 300), 77), ((300, 0), 2)]
)
@pytest.mark.parametrize("target", ["b.jpg", "b.png", "b.tif"])
def test_a_resolution_that_cannot_be_is_left_out_and_the_picture_is_made(tmp_path, resolution, unit, target):
    tifffile.imwrite(tmp_path / "a.tif", GREY, resolution=(300, 300), resolutionunit=2)
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as file:
        for number, value in zip((282, 283), resolution, strict=True):
            numerator, denominator = (1, 10**9) if value == 1e-9 else (int(value), 1)
            file.pages[0].tags[number].overwrite((numerator, denominator))
        file.pages[0].tags[296].overwrite(unit)
    with Image.open(enhanced(tmp_path / "a.tif", 4, target)) as result:
        assert result.size == (120, 80)


def test_what_is_written_is_read(tmp_path):
    for name, kind, unit in (("a.jpg", "JPEG", "inch"), ("a.png", "PNG", "metre"), ("a.tif", "TIFF", "cm")):
        encode(tmp_path / name, GREY, "a note", density=Density(300, 200, unit))
        found = container(tmp_path / name)
        assert found._replace(steps=()) == Container(kind, Density(300, 200, unit), "a note")
        assert nearest(np.array(found.steps).reshape(8, 8)) == 95 if kind == "JPEG" else not found.steps
    (tmp_path / "none").write_bytes(b"no picture")
    assert container(tmp_path / "none") == Container("")
