"""What a reader sees of stored values: by the standard's formulas, worked out by hand, and by dcmtk."""

import itertools
import shutil
import subprocess

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.sequence import Sequence

from cxr.formats.dicom import radiograph as dicom
from cxr.formats.dicom.display import Display
from cxr.formats.read import read
from tests.support.dicom_files import JPEGLSLossless, dataset, save, values


def table(entries, first=0, bits=12, words=False):
    """Return an item of a LUT sequence, its entries as numbers or, as `words`, as bytes."""
    item = Dataset()
    item.add_new(0x00283002, "SS" if first < 0 else "US", [len(entries) % (1 << 16), first, bits])
    if words:
        item.add_new(0x00283006, "OW", np.array(entries, "<u2").tobytes())
    else:
        item.add_new(0x00283006, "US", [int(entry) for entry in entries])
    return Sequence([item])


SQUARE = (np.arange(4096) ** 2 / 4095).astype(int)
STEPS = np.arange(0, 4000, 4)
WINDOW = {"WindowCenter": [1500, 3], "WindowWidth": [1000, 4]}
CASES = {
    "nothing": ({}, []),
    "linear": (WINDOW, ["+Wi", "1"]),
    "linear by name": ({**WINDOW, "VOILUTFunction": "LINEAR"}, ["+Wi", "1"]),
    "exact": ({**WINDOW, "VOILUTFunction": "LINEAR_EXACT"}, None),  # which dcmtk does not know
    "sigmoid": ({**WINDOW, "VOILUTFunction": "SIGMOID"}, ["+Wi", "1"]),
    "rescaled": ({"WindowCenter": 800, "WindowWidth": 1500, "RescaleSlope": 2, "RescaleIntercept": -1000}, ["+Wi", "1"]),
    "rescaled down": ({"WindowCenter": 800, "WindowWidth": 1500, "RescaleSlope": -1, "RescaleIntercept": 4000}, ["+Wi", "1"]),
    "negative slope": ({"RescaleSlope": -1, "RescaleIntercept": 4000}, []),
    "VOI LUT": ({"VOILUTSequence": table(SQUARE)}, ["+Wl", "1"]),
    "VOI LUT in words": ({"VOILUTSequence": table(SQUARE, words=True)}, ["+Wl", "1"]),
    "VOI LUT of a part": ({"VOILUTSequence": table(STEPS * 16, 500, 16)}, ["+Wl", "1"]),
    "VOI LUT before windows": ({"VOILUTSequence": table(SQUARE), **WINDOW}, ["+Wl", "1"]),
    "VOI LUT below zero": (
        {"VOILUTSequence": table(STEPS, -500), "RescaleSlope": 1, "RescaleIntercept": -1000},
        ["+Wl", "1"],
    ),
    "modality LUT": ({"ModalityLUTSequence": table(SQUARE)}, []),
    "modality LUT and window": ({"ModalityLUTSequence": table(SQUARE, words=True), **WINDOW}, ["+Wi", "1"]),
    "inverse": ({"PresentationLUTShape": "INVERSE"}, []),
    "identity": ({"PresentationLUTShape": "IDENTITY"}, []),
}


def by_hand(name, stored, photometric):
    """Return what is seen of `stored`, 0 black and 1 white, by a second plain reading of PS3.3, C.11."""
    more = CASES[name][0]
    x = stored.astype(float)
    if "modality LUT" in name:
        x = SQUARE[stored].astype(float)
    x = x * more.get("RescaleSlope", 1) + more.get("RescaleIntercept", 0)
    if "VOI LUT" in name:
        entries, first, top = (SQUARE, 0, 4095)
        if "part" in name:
            entries, first, top = STEPS * 16, 500, 65535
        if "below" in name:
            entries, first = STEPS, -500
        y = np.array(entries)[np.clip(x - first, 0, len(entries) - 1).astype(int)] / top
    elif "WindowCenter" in more:
        c, w = np.atleast_1d(more["WindowCenter"])[0], np.atleast_1d(more["WindowWidth"])[0]
        match more.get("VOILUTFunction"):
            case "SIGMOID":
                y = 1 / (1 + np.exp(-4 * (x - c) / w))
            case "LINEAR_EXACT":
                y = np.where(x <= c - w / 2, 0, np.where(x > c + w / 2, 1, (x - c) / w + 0.5))
            case _:
                inside = (x - (c - 0.5)) / (w - 1) + 0.5
                y = np.where(x <= c - 0.5 - (w - 1) / 2, 0, np.where(x > c - 0.5 + (w - 1) / 2, 1, inside))
    else:
        y = (4095 - stored if more.get("RescaleSlope") == -1 else x) / 4095
    shape = more.get("PresentationLUTShape", "INVERSE" if photometric == "MONOCHROME1" else "IDENTITY")
    return 1 - y if shape == "INVERSE" else y


def by_dcmtk(path, *options):
    """Return what dcmtk shows of `path`, 0 black and 1 white."""
    pgm = path.with_name("shown.pgm")
    subprocess.run(["dcm2pnm", "+opn", "16", *options, path, pgm], check=True)
    words = " ".join(line for line in pgm.read_text().splitlines() if not line.startswith("#")).split()
    return np.array(words[4:], float).reshape(int(words[2]), int(words[1])) / 65535


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("name", CASES)
def test_what_is_seen_is_what_the_standard_says(tmp_path, name, photometric):
    stored = values()
    path = save(dataset(stored, photometric=photometric, **CASES[name][0]), tmp_path / "a")
    expected = by_hand(name, stored, photometric)
    assert np.abs(dicom.read(path).levels() - expected).max() < 1e-6
    assert np.abs(read(path).pixels - expected * 4095).max() <= 0.501


@pytest.mark.skipif(not shutil.which("dcm2pnm"), reason="dcmtk is missing")
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("name", [name for name, (_, options) in CASES.items() if options is not None])
def test_what_is_seen_is_what_dcmtk_shows(tmp_path, name, photometric):
    more, options = CASES[name]
    path = save(dataset(values(), photometric=photometric, **more), tmp_path / "a")
    # dcmtk rounds down, to 65,536 steps or to the 4,096 of a LUT or of the stored values.
    assert np.abs(dicom.read(path).levels() - by_dcmtk(path, *options)).max() <= 1.001 / 4095


def test_the_first_entry_of_a_lut_is_signed_where_values_are(tmp_path):
    stored = values(signed=True)
    path = save(dataset(stored, signed=True, VOILUTSequence=table(STEPS, -500)), tmp_path / "a")
    expected = STEPS[np.clip(stored + 500, 0, len(STEPS) - 1)] / 4095
    assert np.abs(dicom.read(path).levels() - expected).max() < 1e-6


DECLARED = {
    "nothing": {},
    "rescaled": {"RescaleSlope": 2, "RescaleIntercept": -100},
    "negative slope": {"RescaleSlope": -1, "RescaleIntercept": 900},
    "modality LUT": {},
    "inverse": {"PresentationLUTShape": "INVERSE"},
}
declared = pytest.mark.parametrize(
    ("name", "bits", "signed", "photometric", "part"),
    [
        each
        for each in itertools.product(DECLARED, (8, 10, 12, 16), (False, True), ("MONOCHROME1", "MONOCHROME2"), (1, 4, 100))
        if each[:2] != ("modality LUT", 16)
    ],
)


def of_declared_depth(path, name, bits, signed, photometric, part):
    """Save an image that uses a `part` of its values, without VOI transformation; return what is seen of it."""
    least, most = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    stored = np.linspace(least // part, most // part, 300).round().astype(int).reshape(20, 15)
    fraction, more = (stored - least) / (most - least), DECLARED[name]
    if name == "modality LUT":  # as CR readers write it: 16 bits in the descriptor, of which the entries use fewer
        entries = (np.arange(1 << bits) ** 2 / (1 << bits)).astype(int)
        fraction, more = entries[stored - least] / 65535, {"ModalityLUTSequence": table(entries, least, 16)}
    if name == "negative slope":
        fraction = 1 - fraction
    save(dataset(stored, bits, signed, photometric, **more), path)
    return 1 - fraction if name == "inverse" or photometric == "MONOCHROME1" else fraction


@declared
def test_without_a_window_the_declared_depth_is_shown(tmp_path, name, bits, signed, photometric, part):
    expected = of_declared_depth(tmp_path / "a", name, bits, signed, photometric, part)
    assert np.abs(dicom.read(tmp_path / "a").levels() - expected).max() < 1e-6
    assert read(tmp_path / "a").bits == bits


@pytest.mark.skipif(not shutil.which("dcm2pnm"), reason="dcmtk is missing")
@declared
def test_without_a_window_is_seen_what_dcmtk_shows(tmp_path, name, bits, signed, photometric, part):
    of_declared_depth(tmp_path / "a", name, bits, signed, photometric, part)
    # dcmtk parts its range in as many steps as it has values, of which the brightest falls one short of white.
    assert np.abs(dicom.read(tmp_path / "a").levels() - by_dcmtk(tmp_path / "a")).max() <= 1.001 / ((1 << bits) - 1)


def test_exposures_of_one_detector_keep_their_relation(tmp_path):
    seen = []
    for name, largest in (("a", 3998), ("b", 999)):
        stored = np.linspace(0, largest, 300).round().astype(int).reshape(20, 15)
        seen.append(read(save(dataset(stored), tmp_path / name)).pixels.max())
    assert seen == [3998, 999]


@pytest.mark.parametrize(
    ("least", "largest", "signed", "told"),
    [
        (0, 999, False, "only 10 of 12 bits are in use; --bits 10 shows them so"),
        (0, 4095, False, None),
        (0, 1024, False, None),
        (0, 255, False, "only 8 of 12 bits are in use; --bits 8 shows them so"),
        (-500, 100, True, "only 10 of 12 bits are in use; --bits 10 shows them so"),
        (-513, 100, True, None),
    ],
)
def test_bits_that_are_not_in_use_are_told_and_left_out_when_asked_for(tmp_path, least, largest, signed, told):
    stored = np.linspace(least, largest, 300).round().astype(int).reshape(20, 15)
    path = save(dataset(stored, signed=signed), tmp_path / "a")
    assert read(path).remarks == ((told,) if told else ())
    bits = int(told.split()[1]) if told else 12
    pixels, found, remarks = read(path, bits)
    assert (found, remarks) == (bits, ())
    assert np.array_equal(pixels, stored + (1 << bits - 1) * signed)


def test_a_window_says_what_is_seen_whatever_bits_are_in_use(tmp_path):
    path = save(dataset(values(8).astype(int), 12, WindowCenter=128, WindowWidth=256), tmp_path / "a")
    assert read(path).remarks == ()


def test_bits_that_a_modality_lut_does_not_use_are_told_and_left_out_when_asked_for(tmp_path):
    entries = (np.arange(1024) ** 2 / 1023).astype(int)
    stored = values(10)
    path = save(dataset(stored, 10, ModalityLUTSequence=table(entries, bits=16)), tmp_path / "a")
    pixels, _, remarks = read(path)
    assert np.array_equal(pixels, np.rint(entries[stored] * (1023 / 65535)))
    assert remarks[0] == "its modality LUT uses only 10 of 16 bits; --bits 10 shows them so"
    pixels, _, remarks = read(path, 10)
    assert np.array_equal(pixels, entries[stored])
    assert remarks == ()


@pytest.mark.parametrize(("bits", "entries", "white"), [(8, 1023, 1023), (11, 1500, 2047), (10, 0, 1023), (2, 0, 255)])
def test_the_range_of_a_modality_lut_holds_its_entries(tmp_path, bits, entries, white):
    lut = np.linspace(0, entries, 4096).astype(int)
    path = save(dataset(values(), ModalityLUTSequence=table(lut, bits=bits)), tmp_path / "a")
    assert np.abs(dicom.read(path).levels() - lut[values()] / white).max() < 1e-6


@pytest.mark.parametrize("more", [{"WindowCenter": 90000, "WindowWidth": 10}, {"WindowCenter": 9, "WindowWidth": 1}])
def test_a_window_that_shows_nothing_is_left_out_and_told(tmp_path, more):
    pixels, _, remarks = read(save(dataset(values(), **more), tmp_path / "a"))
    assert np.array_equal(pixels, values())
    assert remarks == ("its window or VOI LUT shows black and white alone, and is left out",)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("syntax", [None, JPEGLSLossless])
@pytest.mark.parametrize(
    ("signed", "padding", "limit", "vr"),
    [
        (True, -2000, None, "SS"),
        (True, 65536 - 2000, None, "US"),  # as written by scanners that forget the sign
        (True, -2000, -1900, "SS"),
        (True, -1900, -2000, "SS"),
        (False, 0, None, "US"),
        (False, 4095, 4000, "US"),
        (False, 0, 100, "US"),
    ],
)
def test_padding_is_black_and_no_part_of_the_range(tmp_path, photometric, syntax, signed, padding, limit, vr):
    ends = sorted({value - 65536 if signed and value > 32767 else value for value in (padding, limit) if value is not None})
    image = np.random.default_rng(1).integers(200, 800, (24, 20)) - (1000 if signed else 0)
    stored = image.copy()
    stored[:, :5] = np.linspace(ends[0], ends[-1], 24).round()[:, None]
    data = dataset(stored, 12, signed, photometric)
    data.add_new(0x00280120, vr, padding)
    if limit is not None:
        data.add_new(0x00280121, vr, limit)
    path = save(data, tmp_path / "a", *([syntax] if syntax else []))
    radiograph = dicom.read(path)
    assert np.array_equal(radiograph.padding, np.arange(20) < 5 + np.zeros((24, 1)))
    shown = radiograph.levels()
    assert (shown[:, :5] == 0).all()
    fraction = (image - (-2048 if signed else 0)) / 4095
    expected = 1 - fraction if photometric == "MONOCHROME1" else fraction
    assert np.abs(shown - expected)[:, 5:].max() < 1e-6


def test_padding_stays_where_it_was_and_is_mixed_with_nothing(tmp_path):
    stored = np.full((12, 10), 700)
    stored[:, :4] = -2000
    wide = stored.copy()
    wide[:, 6] = -300
    found = dicom.read(save(dataset(wide, 12, True, PixelPaddingValue=-2000), tmp_path / "b"))
    overshot = found.values(np.full((36, 30), -305, np.float32))
    assert set(np.unique(overshot)) == {-2000, -300}
    radiograph = dicom.read(save(dataset(stored, 12, True, PixelPaddingValue=-2000), tmp_path / "a"))
    assert (radiograph.image() == 700).all()
    values = radiograph.values(np.full((36, 30), 701.4, np.float32))
    assert (values[:, :12] == -2000).all()
    assert (values[:, 12:] == 700).all()  # the one value there is
    assert (radiograph.levels(values)[:, :12] == 0).all()


def test_a_change_of_what_is_seen_moves_stored_values_by_the_curve():
    curve = np.clip((np.arange(4096) - 1000) / 2000, 0, 1)
    for display, sign in ((Display(0, curve), 1), (Display(0, 1 - curve), -1)):
        stored = np.array([[500, 1500, 2500, 3500]], np.float32)
        before = display.shown(stored)
        same = display.moved(stored.copy(), before, before)
        assert np.array_equal(same, stored)  # also beyond black and white
        after = np.clip(before + np.float32(0.01), 0, 1)
        moved = display.moved(stored.copy(), before, after)
        expected = stored + 2000 * sign * (after - before)
        assert np.abs(moved - expected).max() < 0.01


def test_a_flat_part_of_a_curve_does_not_throw_stored_values_far():
    curve = 1 / (1 + np.exp(-4 * (np.arange(4096) - 2048) / 400))
    display = Display(0, curve)
    stored = np.array([[3000, 2048]], np.float32)
    before = display.shown(stored)
    moved = display.moved(stored.copy(), before, before - np.float32(0.004))
    assert abs(moved[0, 1] - (2048 - 0.004 * 400)) < 0.05
    assert 0 < stored[0, 0] - moved[0, 0] < 0.004 * 4 * 600  # and not the 220 that the curve says
