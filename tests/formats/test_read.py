"""Any radiograph by its content, with the depth that was measured."""

import shutil
import struct
import subprocess
import zlib

import gdcm
import numpy as np
import pytest
import tifffile
from PIL import Image
from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000, UID, JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, RLELossless

from cxr.formats.decode import Unusable
from cxr.formats.dicom import radiograph as dicom
from cxr.formats.read import read
from cxr.foundation.errors import UserError
from tests.support import dicom_files
from tests.support.dicom_files import BY_GDCM, BY_PYDICOM, dataset, save, values

RNG = np.random.default_rng(5)


def levels(bits, largest=None):
    """Return an image (40, 30) that uses 0 and the greatest value of `bits`."""
    drawn = RNG.integers(0, (largest or (1 << bits) - 1) + 1, (40, 30))
    drawn[0, :2] = 0, largest or (1 << bits) - 1
    return drawn.astype(np.uint16 if bits > 8 else np.uint8)


def png(path, pixels, significant=None):
    """Write a PNG byte by byte, so that the sBIT chunk is no library's."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    depth = 8 * pixels.dtype.itemsize
    rows = b"".join(b"\0" + row.astype(f">u{depth // 8}").tobytes() for row in pixels)
    chunks = [chunk(b"IHDR", struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], depth, colour_type, 0, 0, 0))]
    chunks += [chunk(b"sBIT", bytes(significant))] if significant else []
    chunks += [chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    return path


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize(
    ("largest", "bits"),
    [
        (200, 8),
        (255, 8),
        (256, 10),
        (1023, 10),
        (1024, 12),
        (3888, 12),
        (4095, 12),
        (4096, 14),
        (16383, 14),
        (16384, 16),
        (65535, 16),
    ],
)
def test_the_depth_of_16_bits_is_the_least_that_holds_the_greatest_value(tmp_path, suffix, largest, bits):
    stored = levels(16, largest)
    Image.fromarray(stored).save(tmp_path / f"a.{suffix}")
    pixels, found, remarks = read(tmp_path / f"a.{suffix}")
    assert found == bits
    assert np.array_equal(pixels, stored)
    assert pixels.dtype == (np.uint8 if bits == 8 else np.uint16)
    assert remarks == (() if bits == 16 else (f"values up to {largest:,}, so taken as {bits} bits of 16",))


def test_white_is_zero_is_turned_round_within_the_depth(tmp_path):
    stored = levels(12)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="miniswhite")
    pixels, bits, _ = read(tmp_path / "a.tif")
    assert bits == 12
    assert np.array_equal(pixels, 4095 - stored)


@pytest.mark.parametrize(
    ("stored", "significant", "expected", "bits"),
    [
        (levels(16, 900), [12], levels, 12),  # not 10, as the values alone would say
        (levels(12) << 4, [12], lambda a: a >> 4, 12),  # moved up, as the standard asks for
        ((levels(12) << 4) | (levels(12) >> 8), [12], None, 16),  # not of 12 bits at all
        (levels(16), [16], levels, 16),
        (levels(16, 4095), [8], levels, 12),  # no 8 bits
        (np.dstack([levels(12)] * 3), [12, 12, 12], None, 12),
        (np.dstack([levels(12), levels(16)]), [12, 16], None, 12),
        (levels(8), [5], levels, 8),
    ],
)
def test_sbit_is_believed_where_it_can_be_true(tmp_path, stored, significant, expected, bits):
    pixels, found, _ = read(png(tmp_path / "a.png", stored, significant))
    assert found == bits
    grey = stored if stored.ndim == 2 else stored[..., 0]
    if expected is not None:
        assert np.array_equal(pixels, grey if expected is levels else expected(grey))


def test_a_depth_that_is_asked_for_overrides(tmp_path):
    stored = levels(16, 900)
    path = png(tmp_path / "a.png", stored)
    assert read(path, 14)[1:] == (14, ())
    assert np.array_equal(read(path, 14).pixels, stored)
    with pytest.raises(UserError, match=r"a.png: values up to 900 exceed 511, the most that 9 bits hold; give 10 bits or more"):
        read(path, 9)
    Image.fromarray(levels(8)).save(tmp_path / "b.png")
    with pytest.raises(UserError, match=r"b.png: 12 bits are asked for, but the file holds 8; give 8 or fewer"):
        read(tmp_path / "b.png", 12)
    deep = save(dataset(values(12) % 900, 12), tmp_path / "c.dcm")
    with pytest.raises(UserError, match=r"c.dcm: values up to 898 exceed 511"):
        read(deep, 9)
    pixels, bits, _ = read(deep, 11)
    assert bits == 11
    assert np.array_equal(pixels, values(12) % 900)


@pytest.mark.parametrize("count", [1, 17, 63, 64])
def test_few_grey_levels_are_told(tmp_path, count):
    stored = (np.arange(1200).reshape(40, 30) % count).astype(np.uint8)
    Image.fromarray(stored).save(tmp_path / "a.png")
    told = f"{count} grey level{'s' if count > 1 else ''} in use, fewer than 64"
    assert read(tmp_path / "a.png").remarks == ((told,) if count < 64 else ())


def test_further_pages_are_told(tmp_path):
    pages = [levels(8) for _ in range(3)]
    tifffile.imwrite(tmp_path / "a.tif", np.stack(pages), photometric="minisblack")
    pixels, _, remarks = read(tmp_path / "a.tif")
    assert np.array_equal(pixels, pages[0])
    assert remarks == ("several pages, of which the first is taken",)


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
@pytest.mark.parametrize("order", ["<", ">"])
def test_signed_tiff_is_refused(tmp_path, dtype, order):
    tifffile.imwrite(tmp_path / "a.tif", levels(8).astype(dtype), byteorder=order)
    with pytest.raises(Unusable, match="bits a pixel, signed or of unusual depth; save it with 8 or 16, unsigned"):
        read(tmp_path / "a.tif")


@pytest.mark.parametrize("name", ["photo.jfif", "scan", "scan.dcm", "1.2.840.113", "a.png"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "DICOM"])
def test_the_content_counts_whatever_the_name(tmp_path, name, kind):
    smooth = np.tile(np.arange(0, 240, 3, dtype=np.uint8), (40, 1))
    if kind == "DICOM":
        save(dataset(smooth, 8), tmp_path / name)
    else:
        Image.fromarray(smooth).save(tmp_path / name, kind)
    pixels, bits, _ = read(tmp_path / name)
    assert bits == 8
    assert np.abs(pixels.astype(int) - smooth).max() <= (2 if kind == "JPEG" else 0)


def by_gdcm(path, data):
    """Return the stored values as GDCM, used directly, reads them."""
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    kind = f"{'i' if data.PixelRepresentation else 'u'}{data.BitsAllocated // 8}"
    buffer = reader.GetImage().GetBuffer().encode("utf-8", "surrogateescape")
    return np.frombuffer(buffer, f"<{kind}").reshape(data.Rows, data.Columns).astype(int)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("syntax", [*BY_PYDICOM, *BY_GDCM], ids=lambda syntax: syntax.name.replace(" ", ""))
def test_every_transfer_syntax_gives_what_gdcm_reads(tmp_path, syntax, bits, signed, photometric):
    path = save(dataset(values(bits, signed), bits, signed, photometric), tmp_path / "1.2.3", syntax)
    least, white = -(1 << bits - 1) if signed else 0, (1 << bits) - 1
    stored = by_gdcm(path, dataset(values(bits), bits, signed)) - least
    pixels, found, remarks = read(path)
    assert found == bits
    assert np.array_equal(pixels, white - stored if photometric == "MONOCHROME1" else stored)
    assert remarks == ()


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, JPEGLSNearLossless, JPEG2000], ids=lambda each: each.name)
def test_lossy_pixels_are_what_gdcm_reads(tmp_path, monkeypatch, syntax: UID, bits):
    if syntax == JPEGBaseline8Bit and bits != 8:
        pytest.skip("more bits than there are")
    ramp = np.tile(np.linspace(0, (1 << bits) - 1, 64), (48, 1)) * np.linspace(0.3, 1, 48)[:, None]
    data = dataset(ramp.round().astype(int), bits)
    if syntax == JPEG2000:
        Image.fromarray(ramp.round().astype(np.uint8 if bits == 8 else np.uint16)).save(
            tmp_path / "a.j2k", "JPEG2000", irreversible=True, quality_mode="rates", quality_layers=[8], no_jp2=True
        )
        data.BitsStored, data.HighBit = data.BitsAllocated, data.BitsAllocated - 1  # which is what Pillow's codestream has
        data.PixelData = encapsulate([(tmp_path / "a.j2k").read_bytes()])
        data.file_meta.TransferSyntaxUID = syntax
        data.save_as(tmp_path / "a", enforce_file_format=True)
    elif syntax == JPEGLSNearLossless:
        data.compress(syntax, jls_error=2, generate_instance_uid=False)
        data.save_as(tmp_path / "a", enforce_file_format=True)
    else:
        monkeypatch.setitem(dicom_files.BY_GDCM, syntax, gdcm.TransferSyntax.JPEGBaselineProcess1)
        save(data, tmp_path / "a", syntax)
    expected = by_gdcm(tmp_path / "a", data)
    assert np.abs(expected - ramp).max() < 0.02 * (1 << bits)
    data.WindowCenter, data.WindowWidth = None, None
    found = read(tmp_path / "a", any_modality=True)
    assert found.bits == data.BitsStored
    assert np.array_equal(found.pixels, expected)


def test_what_is_beyond_bits_stored_after_lossy_compression_is_white_and_not_black(tmp_path):
    stored = np.tile(np.linspace(0, 4095, 64).round().astype(int), (32, 1))
    data = dataset(stored, 12)
    data.compress(JPEGLSNearLossless, jls_error=1, generate_instance_uid=False)
    data.BitsStored, data.HighBit = 10, 9  # of a codestream of 12
    data.save_as(tmp_path / "a", enforce_file_format=True)
    pixels, bits, _ = read(tmp_path / "a")
    assert bits == 10
    assert np.abs(pixels - stored.clip(0, 1023)).max() <= 1
    assert (pixels[stored > 1024] == 1023).all()


@pytest.mark.parametrize("bits", [10, 12])
def test_lossy_jpeg_that_overshoots_is_clamped_at_both_ends(tmp_path, monkeypatch, bits):
    monkeypatch.setitem(dicom_files.BY_GDCM, JPEGExtended12Bit, gdcm.TransferSyntax.JPEGExtendedProcess2_4)
    stored = np.zeros((64, 80), int)
    stored[:, 3:50] = (1 << bits) - 1  # edges that ring
    stored[20:40, 20:30] = 7
    path = save(dataset(stored, bits), tmp_path / "a", JPEGExtended12Bit)
    pixels, found, _ = read(path)
    assert found == bits
    assert np.abs(pixels.astype(int) - stored).max() <= 0.01 * (1 << bits)


def test_lossy_jpeg_of_12_bits_is_clamped_to_10(tmp_path, monkeypatch):
    monkeypatch.setitem(dicom_files.BY_GDCM, JPEGExtended12Bit, gdcm.TransferSyntax.JPEGExtendedProcess2_4)
    stored = np.tile(np.linspace(0, 1100, 64).round().astype(int), (32, 1))
    path = save(dataset(stored, 12), tmp_path / "a", JPEGExtended12Bit)
    data = dicom_files.dcmread(path)
    data.BitsStored, data.HighBit = 10, 9
    data.save_as(path)
    pixels, bits, _ = read(path)
    assert bits == 10
    assert np.abs(pixels - stored.clip(0, 1023)).max() <= 2


@pytest.mark.skipif(not shutil.which("dcmcjpeg"), reason="dcmtk is missing")
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [8, 10, 12])
@pytest.mark.parametrize(
    ("encode", "decode"),
    [
        ("dcmcjpeg +ee", "dcmdjpeg"),
        ("dcmcjpeg +ee +q 30", "dcmdjpeg"),
        ("dcmcjpeg +e1", "dcmdjpeg"),
        ("dcmcjpeg +el", "dcmdjpeg"),
        ("dcmcjpls", "dcmdjpls"),
        ("dcmcjpls +en +md 3", "dcmdjpls"),
        ("dcmcrle", "dcmdrle"),
    ],
)
def test_what_dcmtk_has_compressed_is_what_dcmtk_decompresses(tmp_path, encode, decode, bits, signed):
    if signed and "+en" in encode:
        pytest.skip("which dcmtk does not write")
    ramp = np.tile(np.linspace(0, (1 << bits) - 1, 64), (48, 1)) * np.linspace(0.3, 1, 48)[:, None]
    least = -(1 << bits - 1) if signed else 0
    save(dataset(ramp.round().astype(int) + least, bits, signed), tmp_path / "a")
    subprocess.run([*encode.split(), tmp_path / "a", tmp_path / "b"], check=True, capture_output=True)
    subprocess.run([*decode.split(), tmp_path / "b", tmp_path / "c"], check=True, capture_output=True)
    assert np.array_equal(dicom.read(tmp_path / "b").stored, dicom_files.dcmread(tmp_path / "c").pixel_array)


@pytest.mark.parametrize("syntax", [*BY_PYDICOM[:2], RLELossless], ids=lambda syntax: syntax.name.replace(" ", ""))
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(("bits", "high"), [(12, 15), (12, 13), (10, 15), (12, 11), (9, 15)])
def test_high_bit_tells_where_the_value_ends(tmp_path, syntax, signed, bits, high):
    stored = values(bits, signed)
    shift = high + 1 - bits
    words = ((stored & ((1 << bits) - 1)) << shift) | RNG.integers(0, 1 << shift, stored.shape)  # with litter below
    words |= RNG.integers(0, 1 << 15 - high, stored.shape) << high + 1  # and above
    data = dataset(words, 16)
    data.BitsStored, data.HighBit, data.PixelRepresentation = bits, high, int(signed)
    pixels, found, _ = read(save(data, tmp_path / "a", syntax))
    assert found == bits
    assert np.array_equal(pixels, stored - (-(1 << bits - 1) if signed else 0))


@pytest.mark.parametrize(("bits", "high"), [(12, 10), (12, 16), (16, 7)])
def test_a_high_bit_that_cannot_be_is_named(tmp_path, bits, high):
    with pytest.raises(Unusable, match=f"HighBit {high} with {bits} of 16 bits stored"):
        read(save(dataset(values(bits), bits, HighBit=high), tmp_path / "a"))


def test_a_high_bit_of_compressed_pixels_is_named(tmp_path):
    data = dicom_files.dcmread(save(dataset(values()), tmp_path / "a", dicom_files.JPEGLossless))
    data.HighBit = 15
    data.save_as(tmp_path / "a")
    with pytest.raises(Unusable, match="HighBit 15 of 12 bits stored, and compressed"):
        read(tmp_path / "a")


@pytest.mark.parametrize(
    ("modality", "kind", "taken"),
    [
        ("CR", "1.2.840.10008.5.1.4.1.1.1", True),
        ("DX", "1.2.840.10008.5.1.4.1.1.1.1", True),
        ("DX", "1.2.840.10008.5.1.4.1.1.1.1.1", True),
        ("DR", "1.2.3", True),
        ("SC", "1.2.840.10008.5.1.4.1.1.7", True),
        ("OT", "1.2.840.10008.5.1.4.1.1.7", True),
        ("", "1.2.840.10008.5.1.4.1.1.7", True),
        (None, "1.2.840.10008.5.1.4.1.1.1", True),
        ("OT", "1.2.840.10008.5.1.4.1.1.1.1", True),
        ("CT", "1.2.840.10008.5.1.4.1.1.2", False),
        ("US", "1.2.840.10008.5.1.4.1.1.6.1", False),
        ("MG", "1.2.840.10008.5.1.4.1.1.1.2", False),
        ("CT", "1.2.840.10008.5.1.4.1.1.7", False),  # a dose report
        (None, "1.2.840.10008.5.1.4.1.1.2", False),
    ],
)
def test_only_radiographs_are_taken_unless_all_are_asked_for(tmp_path, modality, kind, taken):
    path = save(dataset(values(), Modality=modality, SOPClassUID=UID(kind)), tmp_path / "a")
    assert np.array_equal(read(path, any_modality=True).pixels, values())
    if taken:
        assert np.array_equal(read(path).pixels, values())
    else:
        with pytest.raises(Unusable, match=r"modality.*, not CR, DX, DR, SC; cxr enhance --any-modality may take it") as error:
            read(path)
        assert error.value.kind == "no radiograph"


@pytest.mark.parametrize("implicit", [True, False])
@pytest.mark.parametrize("little", [True, False])
def test_a_data_set_without_meta_header_is_read_in_the_encoding_that_it_has(tmp_path, implicit, little):
    if implicit and not little:
        pytest.skip("is none of the standard's")
    data = dataset(values())
    if not little:
        data.PixelData = values().astype(">u2").tobytes()
    del data.file_meta
    data.save_as(tmp_path / "a", implicit_vr=implicit, little_endian=little)
    assert (tmp_path / "a").read_bytes()[128:132] != b"DICM"
    assert np.array_equal(read(tmp_path / "a").pixels, values())


@pytest.mark.parametrize("kept", [0.02, 0.3, 0.6, 0.95])
@pytest.mark.parametrize("syntax", [*BY_PYDICOM, *BY_GDCM], ids=lambda syntax: syntax.name.replace(" ", ""))
def test_a_truncated_file_is_told_in_one_line(tmp_path, syntax, kept):
    content = save(dataset(values()), tmp_path / "a", syntax).read_bytes()
    (tmp_path / "a").write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(Unusable) as error:
        read(tmp_path / "a")
    assert "\n" not in str(error.value)
    assert str(error.value)


@pytest.mark.parametrize(
    "absurd",
    [
        {"RescaleSlope": "1e308", "RescaleIntercept": "-1e308"},
        {"WindowCenter": "1e308", "WindowWidth": "1e308"},
        {"WindowWidth": "-5", "WindowCenter": "3"},
        {"WindowWidth": "0", "WindowCenter": "3", "VOILUTFunction": "SIGMOID"},
        {"WindowWidth": "1e-300", "WindowCenter": "2000", "VOILUTFunction": "SIGMOID"},
        {"VOILUTFunction": "NONSENSE", "WindowWidth": "4096", "WindowCenter": "2048"},
        {"VOILUTSequence": [Dataset()]},
        {"ModalityLUTSequence": []},
        {"PixelPaddingValue": 70000 % 65536, "PixelPaddingRangeLimit": 0},
        {"RescaleSlope": "0"},
    ],
)
def test_absurd_elements_do_not_stop_or_spoil_a_radiograph(tmp_path, recwarn, absurd):
    pixels, bits, _ = read(save(dataset(values(), **absurd), tmp_path / "a"))
    assert bits == 12
    assert pixels.max() <= 4095
    assert not recwarn.list


@pytest.mark.parametrize(
    ("change", "reason", "kind"),
    [
        ({"PhotometricInterpretation": "RGB"}, "RGB, not MONOCHROME1 or 2", "no radiograph"),
        (
            {"SamplesPerPixel": 3, "PlanarConfiguration": 0, "PixelData": values().astype("<u2").tobytes() * 3},
            "shape",
            "damaged",
        ),
        ({"BitsStored": None}, "no BitsStored", "damaged"),
        ({"BitsAllocated": None}, "no BitsAllocated", "damaged"),
        ({"NumberOfFrames": 2}, "2 frames; save each by itself", "damaged"),
    ],
)
def test_what_is_no_grey_image_is_told_in_one_line(tmp_path, change, reason, kind):
    with pytest.raises(Unusable, match=reason) as error:
        read(save(dataset(values(), **change), tmp_path / "a"))
    assert error.value.kind == kind


@pytest.mark.parametrize("change", [{"HighBit": None}, {"PixelRepresentation": None}, {"SamplesPerPixel": None}])
def test_what_has_a_usual_value_may_be_left_out(tmp_path, change):
    assert np.array_equal(read(save(dataset(values(), **change), tmp_path / "a")).pixels, values())


def test_pixels_behind_the_first_image_are_left(tmp_path):
    data = dataset(values())
    data.PixelData += data.PixelData
    assert np.array_equal(read(save(data, tmp_path / "a")).pixels, values())
