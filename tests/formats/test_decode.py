import os
import struct
import threading
import time
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import cv2
import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
from PIL import Image

from cxr.formats.decode import MAX_PIXELS, Unusable, as_unusable, decode, silence

GREY8 = np.random.default_rng(0).integers(0, 256, (31, 23), np.uint8)
GREY16 = np.random.default_rng(1).integers(0, 65536, (31, 23), np.uint16)
TURNS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.T,
    6: lambda a: a[::-1].T,  # a quarter turn clockwise
    7: lambda a: a[::-1, ::-1].T,
    8: lambda a: a.T[::-1],
}


def rgb(grey):
    return np.dstack([grey, grey, grey])


def write_png(path, depth, colour_type, rows):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = rows.shape[:2]
    lines = b"".join(b"\0" + row.astype(f">u{depth // 8}").tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(lines)), chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def assert_grey(actual, expected):
    assert actual.dtype == expected.dtype
    assert actual.flags.c_contiguous
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize(
    ("name", "colour", "alpha"),
    [
        *[(name, colour, alpha) for name in ("a.png", "a.tif", "a.tiff") for colour in (0, 1) for alpha in (0, 1)],
        *[("a.bmp", 0, 0), ("a.bmp", 1, 0), ("a.bmp", 1, 1)],
    ],
)
def test_lossless_8_bits_come_out_as_they_are(tmp_path, name, colour, alpha):
    channels = rgb(GREY8) if colour else GREY8
    if alpha:
        channels = np.dstack([channels, GREY8[::-1]])
    Image.fromarray(channels).save(tmp_path / name)
    assert_grey(decode(tmp_path / name), GREY8)


@pytest.mark.parametrize("coded", ["L", "RGB", "CMYK"])
def test_jpeg_agrees_with_other_decoders(tmp_path, coded):
    smooth = cv2.GaussianBlur(cv2.resize(GREY8, (230, 310)), (0, 0), 4)
    Image.fromarray(smooth).convert("RGB").convert(coded).save(tmp_path / "a.jpeg", quality=95)
    decoded = decode(tmp_path / "a.jpeg")
    reference = cv2.imread(str(tmp_path / "a.jpeg"), cv2.IMREAD_GRAYSCALE)
    assert decoded.shape == smooth.shape
    assert np.abs(decoded.astype(int) - reference).max() <= 1
    assert np.abs(decoded.astype(int) - smooth).max() <= 4
    if coded == "L":
        assert_grey(decoded, iio.imread(tmp_path / "a.jpeg"))


def test_the_content_counts_and_not_the_suffix(tmp_path):
    Image.fromarray(GREY8).save(tmp_path / "a.jpeg", format="PNG")
    assert_grey(decode(tmp_path / "a.jpeg"), GREY8)


def test_colour_becomes_bt601_luma_at_8_and_16_bits(tmp_path):
    for dtype, suffix in ((np.uint8, "png"), (np.uint16, "png"), (np.uint16, "tif")):
        colour = np.random.default_rng(2).integers(0, np.iinfo(dtype).max + 1, (31, 23, 3), dtype)
        cv2.imwrite(str(tmp_path / f"a.{suffix}"), colour[..., ::-1])
        decoded = decode(tmp_path / f"a.{suffix}")
        assert decoded.dtype == dtype
        assert np.abs(decoded - colour @ [0.299, 0.587, 0.114]).max() < 0.51 + 1e-5 * np.iinfo(dtype).max


def test_palette_and_one_bit(tmp_path):
    Image.fromarray(GREY8).convert("P").save(tmp_path / "grey.png")
    assert_grey(decode(tmp_path / "grey.png"), GREY8)
    indexed = Image.fromarray((GREY8 % 3).astype(np.uint8), mode="P")
    indexed.putpalette([10, 10, 10, 200, 200, 200, 90, 90, 90])
    for name in ("index.png", "index.bmp", "index.tif"):
        indexed.save(tmp_path / name)
        assert_grey(decode(tmp_path / name), np.array([10, 200, 90], np.uint8)[GREY8 % 3])
    indexed.save(tmp_path / "see-through.png", transparency=bytes([0, 255, 128]))
    assert_grey(decode(tmp_path / "see-through.png"), np.array([10, 200, 90], np.uint8)[GREY8 % 3])
    for name in ("bit.png", "bit.tif", "bit.bmp"):
        Image.fromarray(GREY8 > 127).save(tmp_path / name)
        assert_grey(decode(tmp_path / name), np.where(GREY8 > 127, 255, 0).astype(np.uint8))


@pytest.mark.parametrize(("colour_type", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_16_bit_png_keeps_its_depth(tmp_path, colour_type, channels):
    rows = np.dstack([GREY16] * channels)
    if colour_type in {4, 6}:
        rows[..., -1] = GREY16[::-1]
    write_png(tmp_path / "a.png", 16, colour_type, rows)
    assert_grey(decode(tmp_path / "a.png"), GREY16)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_tiff_of_either_byte_order(tmp_path, order, bits, channels):
    grey = GREY8 if bits == 8 else GREY16
    stack = grey if channels == 1 else np.dstack([rgb(grey), grey[::-1]])[..., :channels]
    extra = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
    photometric = "minisblack" if channels == 1 else "rgb"
    tifffile.imwrite(tmp_path / "a.tif", stack, byteorder=order, photometric=photometric, **extra)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), stack)
    assert_grey(decode(tmp_path / "a.tif"), grey)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("grey", [GREY8, GREY16], ids=["8", "16"])
def test_compressed_tiff(tmp_path, compression, grey):
    Image.fromarray(grey).save(tmp_path / "a.tif", compression=compression)
    assert_grey(decode(tmp_path / "a.tif"), grey)


def test_white_is_zero_comes_out_the_right_way_round(tmp_path):
    for grey in (GREY8, GREY16):
        tifffile.imwrite(tmp_path / "a.tif", np.invert(grey), photometric="miniswhite")
        assert_grey(decode(tmp_path / "a.tif"), grey)


def test_the_first_page_of_a_tiff_counts(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.stack([GREY8, GREY8[::-1]]), photometric="minisblack")
    assert_grey(decode(tmp_path / "a.tif"), GREY8)


@pytest.mark.parametrize("orientation", TURNS)
def test_orientation_is_honoured_whatever_the_format_and_depth(tmp_path, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(GREY8).save(tmp_path / "a.png", exif=exif)
    Image.fromarray(np.full((16, 32), 9, np.uint8)).save(tmp_path / "a.jpg", exif=exif)
    assert_grey(decode(tmp_path / "a.png"), TURNS[orientation](GREY8))
    assert decode(tmp_path / "a.jpg").shape == TURNS[orientation](np.empty((16, 32))).shape
    for order in "<>":
        for stack in (GREY8, GREY16, rgb(GREY8), rgb(GREY16)):
            photometric = "minisblack" if stack.ndim == 2 else "rgb"
            tag = [(274, "H", 1, orientation, True)]
            tifffile.imwrite(tmp_path / "a.tif", stack, photometric=photometric, byteorder=order, extratags=tag)
            grey = stack if stack.ndim == 2 else stack[..., 0]
            assert_grey(decode(tmp_path / "a.tif"), TURNS[orientation](grey))


def test_deep_colour_png_is_turned_too(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    write_png(tmp_path / "a.png", 16, 2, rgb(GREY16))
    data = (tmp_path / "a.png").read_bytes()
    body = b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    (tmp_path / "a.png").write_bytes(data[:33] + chunk + data[33:])
    assert_grey(decode(tmp_path / "a.png"), TURNS[6](GREY16))


def test_broken_exif_does_not_cost_the_image(tmp_path):
    Image.fromarray(GREY8).save(tmp_path / "a.png", exif=b"Exif\0\0nonsense")
    assert_grey(decode(tmp_path / "a.png"), GREY8)


SAVED = {
    "jpeg": ("a.jpeg", {}),
    "png": ("a.png", {}),
    "bmp": ("a.bmp", {}),
    "tiff": ("a.tif", {}),
    "lzw tiff": ("a.tif", {"compression": "tiff_lzw"}),
}


@pytest.mark.parametrize("saved", SAVED)
@pytest.mark.parametrize("kept", [0.01, 0.5, 0.9])
def test_a_truncated_file_is_damaged_and_silent(tmp_path, capfd, recwarn, saved, kept):
    name, options = SAVED[saved]
    path = tmp_path / name
    Image.fromarray(cv2.resize(GREY8, (230, 310))).save(path, **options)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(Unusable) as error:
        decode(path)
    assert error.value.kind == "damaged"
    assert error.value.reason
    assert "\n" not in error.value.reason
    assert str(tmp_path) not in error.value.reason
    assert " object at " not in error.value.reason
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_truncated_deep_colour_is_damaged_and_silent(tmp_path, capfd, suffix):
    path = tmp_path / f"a.{suffix}"
    cv2.imwrite(str(path), rgb(cv2.resize(GREY16, (230, 310))))
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(Unusable) as error:
        decode(path)
    assert error.value.kind == "damaged"
    assert capfd.readouterr() == ("", "")


def test_flipped_bits_end_in_an_array_or_in_damaged_and_never_on_the_screen(tmp_path, capfd, recwarn):
    generator = np.random.default_rng(3)
    for name, options in SAVED.values():
        Image.fromarray(GREY8).save(tmp_path / name, **options)
        data = (tmp_path / name).read_bytes()
        for _ in range(60):
            harmed = bytearray(data)
            for place in generator.integers(len(data), size=3):
                harmed[place] ^= 1 << generator.integers(8)
            (tmp_path / name).write_bytes(harmed)
            try:
                assert decode(tmp_path / name).ndim == 2
            except Unusable as error:
                assert error.kind == "damaged"  # noqa: PT017
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"<html>404</html>", "not a readable BMP, JPEG, PNG, TIFF file"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a readable"),  # Pillow would start Ghostscript
        (b"GIF89a" + bytes(100), "not a readable"),
    ],
)
def test_what_is_no_radiograph_file_says_so(tmp_path, content, reason):
    (tmp_path / "a.jpeg").write_bytes(content)
    with pytest.raises(Unusable, match=reason) as error:
        decode(tmp_path / "a.jpeg")
    assert error.value.kind == "damaged"


@pytest.mark.parametrize("sides", [(MAX_PIXELS // 1000 + 1, 1000), (100_000, 100_000)])
def test_a_decompression_bomb_is_not_unpacked(tmp_path, recwarn, sides):
    write_png(tmp_path / "a.png", 8, 0, GREY8)
    data = bytearray((tmp_path / "a.png").read_bytes())
    data[16:24] = struct.pack(">II", *sides)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(Unusable, match="more than 100,000,000 pixels"):
        decode(tmp_path / "a.png")
    assert not recwarn.list


def test_a_very_wide_image_is_no_bomb(tmp_path):
    Image.new("L", (30_000, 40), 7).save(tmp_path / "a.png")
    assert_grey(decode(tmp_path / "a.png"), np.full((40, 30_000), 7, np.uint8))


@pytest.mark.parametrize(
    ("pixels", "options", "reason"),
    [
        (GREY16.astype(np.float32), {}, "32 bits a pixel"),
        (GREY16.astype(np.uint32), {}, "32 bits a pixel"),
        (GREY16.astype(np.int16), {}, "16 bits a pixel, signed"),
        (np.dstack([GREY16] * 4), {"photometric": "separated"}, "16-bit TIFF neither grey nor RGB"),
        (np.stack([GREY16] * 3), {"photometric": "rgb", "planarconfig": "separate"}, "16-bit TIFF neither grey nor RGB"),
        (rgb(GREY16), {"photometric": "rgb", "bigtiff": True, "extratags": [(274, "H", 1, 6, True)]}, "turned BigTIFF"),
    ],
)
def test_levels_that_would_come_out_wrong_are_refused(tmp_path, pixels, options, reason):
    tifffile.imwrite(tmp_path / "a.tif", pixels, **options)
    with pytest.raises(Unusable, match=reason) as error:
        decode(tmp_path / "a.tif")
    assert error.value.kind == "damaged"


def test_a_file_that_cannot_be_opened_is_no_damaged_image(tmp_path):
    with pytest.raises(FileNotFoundError):
        decode(tmp_path / "missing.jpeg")


def test_threads_leave_standard_error_and_warnings_as_they_were(capfd):
    filters, shown = list(warnings.filters), warnings.showwarning
    pipes = os.fstat(2)

    def in_and_out(seed):
        random = np.random.default_rng(seed)
        for _ in range(50):
            with silence(), as_unusable():
                os.write(2, b"noise of a C library\n")
                warnings.warn("of a broken file", stacklevel=1)
                time.sleep(random.random() / 1000)

    threads = [threading.Thread(target=in_and_out, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert os.path.samestat(os.fstat(2), pipes)
    assert (warnings.filters, warnings.showwarning) == (filters, shown)
    os.write(2, b"a message\n")
    assert capfd.readouterr() == ("", "a message\n")
    with pytest.warns(UserWarning, match="afterwards"):
        warnings.warn("afterwards", stacklevel=1)


def test_threads_decode_in_silence_and_stay_apart(tmp_path, capfd):
    levels = [np.full((64, 64), level, np.uint8) for level in range(32)]
    for level, image in enumerate(levels):
        Image.fromarray(image).save(tmp_path / f"{level}.tif", compression="tiff_deflate")
        content = (tmp_path / f"{level}.tif").read_bytes()
        (tmp_path / f"{level}_cut.tif").write_bytes(content[:12] + bytes(8) + content[20:])

    def read(name):
        try:
            return decode(tmp_path / name)
        except Unusable:
            return None

    names = [f"{level}{kind}.tif" for level in range(32) for kind in ("", "_cut")]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(read, names))
    for level, image in enumerate(levels):
        assert_grey(found[2 * level], image)
        assert found[2 * level + 1] is None
    os.write(2, b"a message\n")
    assert capfd.readouterr() == ("", "a message\n")
