"""Bad input of every kind, each with its outcome, the file that is named and the reason that is given."""

import io
import os
import re
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image, PngImagePlugin

from cxr.dataset.pack import pack
from cxr.dataset.settings import Preprocess
from cxr.foundation.errors import UserError
from stages import check, detect, download, errormaps, evaluate, train_srcnn
from tests.support.raw import table_of
from tests.support.tiny import ROOT, TINY, write_params

GREY = np.random.default_rng(0).integers(0, 256, (40, 48), dtype=np.uint8)
SETTINGS = Preprocess(frame="whole", size=32, normalise="none", limit=100, max_damaged=1.0, seed=0)


def encoded(pixels: np.ndarray = GREY, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(pixels: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, **options)
    return buffer.getvalue()


def claiming(width: int, height: int) -> bytes:
    """Return a PNG that says it has so many pixels."""
    data = bytearray(encoded())
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def jpeg_claiming(side: int) -> bytes:
    data = bytearray(encoded(kind="JPEG"))
    start = data.index(b"\xff\xc0") + 5
    data[start : start + 4] = struct.pack(">HH", side, side)
    return bytes(data)


def with_text_bomb() -> bytes:
    information = PngImagePlugin.PngInfo()
    information.add_text("bomb", "0" * 100_000_000, zip=True)
    return encoded(pnginfo=information)


def looping_tiff() -> bytes:
    """Return a TIFF whose first directory names itself as the next."""
    data = bytearray(tiff(GREY))
    (directory,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, directory)
    struct.pack_into("<I", data, directory + 2 + 12 * entries, directory)
    return bytes(data)


def four_inks() -> bytes:
    buffer = io.BytesIO()
    Image.merge("CMYK", [Image.fromarray(GREY)] * 4).save(buffer, "JPEG")
    return buffer.getvalue()


def pages(kind: str) -> bytes:
    first, second = Image.fromarray(GREY), Image.fromarray(255 - GREY)
    buffer = io.BytesIO()
    first.save(buffer, kind, save_all=True, append_images=[second])
    return buffer.getvalue()


NOT_AN_IMAGE = ("damaged", "not a readable BMP, JPEG, PNG, TIFF file")
USED = ("used", "")
FILES: dict[str, tuple[str, bytes | Callable[[], bytes], tuple[str, str]]] = {
    "empty": ("a.jpeg", b"", ("damaged", "the file is empty")),
    "JPEG cut off": ("a.jpeg", encoded(kind="JPEG")[:400], ("damaged", "truncated")),
    "JPEG without its end": ("a.jpeg", encoded(kind="JPEG")[:-200], ("damaged", "truncated")),
    "PNG cut off": ("a.png", encoded()[:500], ("damaged", "truncated")),
    "TIFF cut off": ("a.tif", tiff(GREY)[:300], ("damaged", ".")),
    "BMP cut off": ("a.bmp", encoded(kind="BMP")[:1200], ("damaged", "truncated")),
    "noise": ("a.jpeg", np.random.default_rng(1).bytes(5000), NOT_AN_IMAGE),
    "zeros": ("a.jpeg", bytes(5000), NOT_AN_IMAGE),
    "text": ("a.png", b"no picture\n", NOT_AN_IMAGE),
    "web page": ("a.jpeg", b"<!doctype html><title>404</title>", NOT_AN_IMAGE),
    "GIF": ("a.jpeg", encoded(kind="GIF"), NOT_AN_IMAGE),
    "WebP": ("a.png", encoded(kind="WEBP"), NOT_AN_IMAGE),
    "DICOM": ("a.jpeg", bytes(128) + b"DICM" + bytes(300), ("damaged", "no DICOM image")),
    "PDF": ("a.tif", b"%PDF-1.7\n" + bytes(300), NOT_AN_IMAGE),
    "PostScript": ("a.jpeg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n", NOT_AN_IMAGE),
    "zip": ("a.jpeg", b"PK\x03\x04" + bytes(300), NOT_AN_IMAGE),
    "a PNG's name on a JPEG": ("a.png", encoded(kind="JPEG"), USED),
    "one pixel": ("a.png", encoded(GREY[:1, :1]), ("too small", "1x1 pixels; the shorter side is below preprocess.size 32")),
    "a line": ("a.png", encoded(np.zeros((1, 30_000), np.uint8)), ("too small", "30000x1 pixels")),
    "30,000 x 30,000 pixels": ("a.png", lambda: claiming(30_000, 30_000), ("damaged", "more than 100,000,000 pixels")),
    "2 billion x 2 billion": ("a.png", lambda: claiming(2**31 - 1, 2**31 - 1), ("damaged", "more than 100,000,000 pixels")),
    "no pixels": ("a.png", lambda: claiming(0, 0), ("damaged", ".")),
    "a large JPEG with few bytes": ("a.jpeg", lambda: jpeg_claiming(65_500), ("damaged", "more than 100,000,000 pixels")),
    "a text that unpacks to 100 MB": ("a.png", with_text_bomb, ("damaged", "(?i)too large|decompress")),
    "a TIFF in a loop": ("a.tif", looping_tiff, USED),
    "16 bits, PNG": ("a.png", encoded(GREY.astype(np.uint16) * 257), USED),
    "16 bits, TIFF": ("a.tif", tiff(GREY.astype(np.uint16) * 257), USED),
    "16 bits with a sign": ("a.tif", tiff(GREY.astype(np.int16)), ("damaged", "16 bits a pixel, signed")),
    "32 bits": ("a.tif", tiff(GREY.astype(np.uint32)), ("damaged", "32 bits a pixel")),
    "numbers that are none": ("a.tif", tiff(np.full((40, 40), np.nan, np.float32)), ("damaged", "32 bits a pixel")),
    "animated PNG": ("a.png", pages("PNG"), USED),
    "TIFF of two pages": ("a.tif", pages("TIFF"), USED),
    "four inks": ("a.jpeg", four_inks, USED),
    "colour": ("a.png", encoded(np.dstack([GREY] * 3)), USED),
    "with alpha": ("a.png", encoded(np.dstack([GREY] * 4)), USED),
    "black": ("a.png", encoded(np.zeros((40, 40), np.uint8)), ("damaged", "blank: what is used of it has one grey level")),
    "white": ("a.png", encoded(np.full((40, 40), 255, np.uint8)), ("damaged", "blank")),
    "a copy": ("z.bmp", encoded(kind="BMP"), ("duplicate", "the same pixels as NORMAL/good.png")),
    "name in Chinese": ("胸部　1.jpeg", b"", ("damaged", "the file is empty")),
    "name of 255 bytes": ("n" * 250 + ".jpeg", b"", ("damaged", "the file is empty")),
    "name with a comma, quotes and a line's end": ('a, "b"\nc.jpeg', b"", ("damaged", "the file is empty")),
}


def snapshot(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.lstat().st_mtime_ns for path in sorted(folder.rglob("*"))}


@pytest.mark.parametrize("kind", FILES)
def test_a_bad_file_is_set_aside_with_its_reason_and_the_rest_goes_on(tmp_path, kind):
    name, content, (outcome, reason) = FILES[kind]
    raw = tmp_path / "workspace/data/raw"
    (raw / "NORMAL").mkdir(parents=True)
    (raw / "NORMAL/good.png").write_bytes(encoded())
    (raw / "NORMAL/better.png").write_bytes(encoded(GREY[::-1]))
    data = content if isinstance(content, bytes) else content()
    if outcome == "used":  # else it would be a copy of the good one
        (raw / "NORMAL/good.png").write_bytes(encoded(GREY[:, ::-1]))
    (raw / "NORMAL" / name).write_bytes(data)
    table_of(raw)
    outside = snapshot(tmp_path.parent)
    packed = pack(raw, raw.parent / "pixels.npy", SETTINGS, 1)
    others = {"NORMAL/good.png", "NORMAL/better.png"}
    used = set(packed.table["source"])
    if outcome == "used":
        assert used == {*others, f"NORMAL/{name}"}
        assert packed.rejected.empty
    else:
        assert used == others
        (row,) = packed.rejected.itertuples()
        assert (row.file, row.kind) == (f"NORMAL/{name}", outcome)
        assert "\n" not in row.reason
        assert re.search(reason, row.reason), row.reason
    after = snapshot(tmp_path.parent)
    assert {path for path in after if after[path] != outside.get(path)} <= {
        str((raw.parent / "pixels.npy").relative_to(tmp_path.parent)),
        str(raw.parent.relative_to(tmp_path.parent)),
    }


def folder(path: Path) -> None:
    path.mkdir()


def pipe(path: Path) -> None:
    os.mkfifo(path)


def link_to_nowhere(path: Path) -> None:
    path.symlink_to(path.with_name("nowhere"))


def link_to_itself(path: Path) -> None:
    path.symlink_to(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [folder, pipe, link_to_nowhere, link_to_itself, device])
def test_what_is_no_file_is_set_aside(tmp_path, make):
    (tmp_path / "raw/NORMAL").mkdir(parents=True)
    (tmp_path / "raw/NORMAL/good.png").write_bytes(encoded())
    make(tmp_path / "raw/NORMAL/a.jpeg")
    packed = pack(table_of(tmp_path / "raw"), tmp_path / "pixels.npy", SETTINGS, 1)
    assert list(packed.table["source"]) == ["NORMAL/good.png"]
    (row,) = packed.rejected.itertuples()
    assert (row.file, row.kind) == ("NORMAL/a.jpeg", "damaged")
    assert row.reason == "no file, but a folder, a device or a link that leads nowhere"


def zipped(path: Path, *entries: tuple[Any, bytes], method: int = zipfile.ZIP_DEFLATED) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in entries:
            archive.writestr(name, content)


def flagged(path: Path, offsets: tuple[int, int], value: int) -> None:
    """Write a zip of one entry in both of whose headers, at their `offsets`, stands `value`."""
    zipped(path, ("NORMAL/a.jpeg", b"content"), method=zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    for signature, offset in zip((b"PK\x03\x04", b"PK\x01\x02"), offsets, strict=True):
        data[data.index(signature) + offset] = value
    path.write_bytes(data)


def linked(path: Path) -> None:
    entry = zipfile.ZipInfo("NORMAL/a.jpeg")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    zipped(path, (entry, b"/etc/passwd"))


def claiming_bytes(path: Path, size: int) -> None:
    """Write a zip whose directory says of its one entry that it has `size` bytes."""
    zipped(path, ("NORMAL/a.jpeg", b"content"))
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.index(b"PK\x01\x02") + 24, size)
    path.write_bytes(data)


def many_times_a_gigabyte(path: Path) -> None:
    zipped(path, *((f"NORMAL/{number}.jpeg", b"content") for number in range(5)))
    data = bytearray(path.read_bytes())
    place = data.index(b"PK\x01\x02")
    for _ in range(5):
        struct.pack_into("<I", data, place + 24, 2**30)
        place = data.find(b"PK\x01\x02", place + 4)
    path.write_bytes(data)


def cut_off(path: Path) -> None:
    zipped(path, ("NORMAL/a.jpeg", b"content"))
    path.write_bytes(path.read_bytes()[:-30])


def flipped(path: Path) -> None:
    zipped(path, ("NORMAL/a.jpeg", b"content"), method=zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"content", b"contend", 1))


ZIPS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no zip": (lambda path: path.write_bytes(b"<html>"), "not a whole zip"),
    "empty file": (lambda path: path.write_bytes(b""), "not a whole zip"),
    "cut off": (cut_off, "not a whole zip"),
    "empty zip": (zipped, "no images in it"),
    "a changed byte": (flipped, r"the entry 'NORMAL/a\.jpeg' is damaged \(Bad CRC"),
    "encrypted": (lambda path: flagged(path, (6, 8), 1), r"the entry 'NORMAL/a\.jpeg' is encrypted"),
    "unknown method": (lambda path: flagged(path, (8, 10), 99), r"the entry 'NORMAL/a\.jpeg' is damaged"),
    "..": (lambda path: zipped(path, ("../NORMAL/a.jpeg", b"x")), r"the entry '\.\./NORMAL/a\.jpeg' points outside"),
    ".. further in": (lambda path: zipped(path, ("NORMAL/../../a.jpeg", b"x")), "points outside the zip"),
    "an absolute path": (lambda path: zipped(path, ("/tmp/NORMAL/a.jpeg", b"x")), "points outside the zip"),
    "a drive's letter": (lambda path: zipped(path, ("C:/NORMAL/a.jpeg", b"x")), "points outside the zip"),
    ".. with backslashes": (lambda path: zipped(path, ("..\\NORMAL\\a.jpeg", b"x")), "points outside the zip"),
    "a link": (linked, r"the entry 'NORMAL/a\.jpeg' is a link"),
    "a zip in it": (lambda path: zipped(path, ("NORMAL/inner.zip", b"PK\x03\x04")), "no images in it"),
    "only masks": (lambda path: zipped(path, ("masks/a.jpeg", b"x")), "1 masks and no radiographs in it"),
    "only litter": (lambda path: zipped(path, ("__MACOSX/NORMAL/a.jpeg", b"x")), "no images in it"),
    "two of a name": (
        lambda path: zipped(path, ("t/NORMAL/a.jpeg", b"1"), ("v/NORMAL/A.jpeg", b"2")),
        "two images of one class",
    ),
    "a name too long": (
        lambda path: zipped(path, ("NORMAL/" + "n" * 300 + ".jpeg", b"x")),
        "the name is too long for this disk",
    ),
    "3 GB in one entry": (lambda path: claiming_bytes(path, 3 * 2**30), r"'NORMAL/a\.jpeg' claims 3,221,225,472 bytes"),
    "5 GB in 600 bytes": (many_times_a_gigabyte, "bytes claim to unpack to 5,368,709,120"),
}


def local_workspace(tmp_path: Path, source: Path) -> Path:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    write_params(workspace, TINY, {"download": {"source": "local", "path": str(source)}})
    return workspace


def refused(workspace: Path, stage: Any, *told: str) -> None:
    """See `stage` refuse in one line that holds each of `told`."""
    with pytest.raises(UserError) as error:
        stage.run(workspace)
    line = str(error.value)
    assert "\n" not in line
    assert len(line) < 1000
    for each in told:
        assert re.search(each, line), line


@pytest.mark.parametrize("kind", ZIPS)
def test_a_bad_zip_is_refused_and_writes_nothing(tmp_path, kind):
    make, reason = ZIPS[kind]
    source = tmp_path / "source.zip"
    make(source)
    workspace = local_workspace(tmp_path, source)
    before = snapshot(tmp_path.parent)
    refused(workspace, download, "source.zip", reason)
    assert not (workspace / "data/raw").exists()
    assert not list((workspace / "plots").iterdir())  # which is made for its owner alone
    after = snapshot(tmp_path.parent)
    assert {path for path in after if after[path] != before.get(path)} <= {
        str(path.relative_to(tmp_path.parent)) for path in (workspace, workspace / "data", workspace / "plots")
    }


def source_with(path: Path, name: bytes) -> None:
    (path / "NORMAL").mkdir(parents=True)
    with open(os.fsencode(path / "NORMAL") + b"/" + name, "wb") as file:  # noqa: PTH123 - a name that is no text
        file.write(encoded())


def source_of(path: Path, make: Callable[[Path], None]) -> None:
    (path / "NORMAL").mkdir(parents=True)
    make(path / "NORMAL/a.jpeg")


FOLDERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "no such file or folder"),
    "empty": (lambda path: path.mkdir(), "no images in it"),
    "a name that is not UTF-8": (lambda path: source_with(path, b"\xff\xfe.jpeg"), "is not UTF-8; rename it"),
    "no image files": (lambda path: source_with(path, b"a.txt"), "no images in it"),
    "a broken link": (
        lambda path: source_of(path, link_to_nowhere),
        "no images in it",
    ),
    "a pipe": (lambda path: source_of(path, pipe), "no images in it"),
}


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_bad_folder_is_refused(tmp_path, kind):
    make, reason = FOLDERS[kind]
    make(tmp_path / "source")
    refused(local_workspace(tmp_path, tmp_path / "source"), download, "source", reason)


def instead(old: str, new: str) -> Callable[[bytes], bytes]:
    """Return a function that writes `new` for the first `old`, which must be there."""

    def changed(text: bytes) -> bytes:
        assert old.encode() in text
        return text.replace(old.encode(), new.encode(), 1)

    return changed


def laughing(text: bytes) -> bytes:
    """Return a file in which one short key stands for a billion items."""
    lines = [b"a: &a [ha]\n"]
    lines += [b"%c: &%c [%s]\n" % (letter, letter, b", ".join([b"*%c" % (letter - 1)] * 10)) for letter in range(98, 107)]
    return b"".join(lines) + text.replace(b"  size: 512", b"  size: *j", 1)


NO_YAML, NUMBER = "not valid YAML", "expected a whole number"
PARAMS: dict[str, tuple[bytes | Callable[[bytes], bytes], str]] = {
    "no bytes": (b"", "expected sections"),
    "no text": (b"\xff\xfe\x00", NO_YAML),
    "a list": (b"- 1\n", "expected sections"),
    "deep": (b"[" * 5000, NO_YAML),
    "a tab": (b"a:\n\tb: 1\n", NO_YAML),
    "two documents": (b"a: 1\n---\na: 1\n", NO_YAML),
    "an object of Python's": (b"a: !!python/object/apply:os.system [ls]\n", NO_YAML),
    "large": (b"# " + b"x" * 200_000, r"larger than 100,000 bytes"),
    "a billion laughs": (laughing, "the section a is unknown"),
    "a long key": (lambda text: text + b"k" * 500 + b": 1\n", "the section 'kkk.*is unknown"),
    "a misspelt section": (instead("\nsplit:", "\nsplits:"), "the section splits is unknown; did you mean split"),
    "a misspelt key": (instead(" normalise:", " normalize:"), "preprocess.normalize is unknown; did you mean normalise"),
    "no number": (instead(" warped: 0.25", " warped: .nan"), "augment.warped is nan; expected a number from 0 to 1"),
    "a seed beyond 32 bits": (instead(" seed: 0", " seed: 99999999999"), r"seed is 99999999999; expected .*4294967295"),
    "a number of 5,000 digits": (instead(" seed: 0", " seed: " + "9" * 5000), NO_YAML),
    "true for a number": (instead(" ranks: 1", " ranks: true"), f"train_srcnn.ranks is True; {NUMBER}"),
    "a list for a number": (
        instead(" steps: 8000", " steps: [[[[1]]]]"),
        rf"steps is \[\[\[\[\.\.\.\]\]\]\]; {NUMBER}",
    ),
    "one key twice": (lambda text: text + b"runtime: {}\n", f"{NO_YAML}: .*duplicate key"),
}


@pytest.mark.parametrize("kind", PARAMS)
def test_nonsense_in_params_is_refused_by_the_first_stage(tmp_path, kind):
    harm, reason = PARAMS[kind]
    good = (ROOT / "params.yaml").read_bytes()
    (tmp_path / "params.yaml").write_bytes(harm if isinstance(harm, bytes) else harm(good))
    refused(tmp_path, check, r"params\.yaml", reason)
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


def weights_changed(path: Path, change: Callable[[dict[str, Any], dict[str, str]], None]) -> None:
    from safetensors import safe_open  # noqa: PLC0415
    from safetensors.torch import save_file  # noqa: PLC0415

    with safe_open(path, framework="pt") as file:
        tensors, metadata = {key: file.get_tensor(key) for key in file.keys()}, dict(file.metadata())  # noqa: SIM118
    change(tensors, metadata)
    path.unlink()
    save_file(tensors, path, metadata)


def layer_gone(tensors: dict[str, Any], metadata: dict[str, str]) -> None:
    del tensors["x2.mapping.weight"]


def first_is_nan(tensors: dict[str, Any], metadata: dict[str, str]) -> None:
    next(iter(tensors.values())).flatten()[0] = float("nan")


NO_MODEL = "is no model of this project"
MODELS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: path.unlink(), "is missing; run dvc repro"),
    "empty": (lambda path: path.write_bytes(b""), NO_MODEL),
    "noise": (lambda path: path.write_bytes(np.random.default_rng(0).bytes(9000)), NO_MODEL),
    "cut off": (lambda path: path.write_bytes(path.read_bytes()[:-100]), NO_MODEL),
    "a header of 2^60 bytes": (lambda path: path.write_bytes(struct.pack("<Q", 2**60) + b"{}"), NO_MODEL),
    "pickled": (lambda path: path.write_bytes(b"\x80\x04\x95cposix\nsystem\n."), NO_MODEL),
    "the other network": (
        lambda path: shutil.copy(path.with_name("vdsr.safetensors"), path),
        "holds vdsr, not srcnn",
    ),
    "of no known origin": (
        lambda path: weights_changed(path, lambda _, m: m.clear()),
        NO_MODEL,
    ),
    "a list for a description": (
        lambda path: weights_changed(path, lambda _, m: m.update(model="[1]")),
        NO_MODEL,
    ),
    "a layer gone": (
        lambda path: weights_changed(path, layer_gone),
        "lacks weights x2 that fit",
    ),
    "no numbers": (lambda path: weights_changed(path, first_is_nan), "holds weights that are no numbers"),
}


@pytest.mark.parametrize("kind", MODELS)
def test_a_bad_model_is_refused(workspace, kind):
    harm, reason = MODELS[kind]
    harm(workspace / "models/srcnn.safetensors")
    refused(workspace, evaluate, r"models/srcnn\.safetensors", reason)


def as_objects(path: Path) -> None:
    np.save(path, np.array([{}, []], dtype=object), allow_pickle=True)


def no_numbers(path: Path) -> None:
    np.save(path, np.full((24, 96, 96), np.nan))


def without(path: Path, column: str) -> None:
    pd.read_csv(path, dtype=str).drop(columns=column).to_csv(path, index=False)


TABLES: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "images gone": ("data/pixels.npy", lambda path: path.unlink(), "is missing; run dvc repro"),
    "images empty": ("data/pixels.npy", lambda path: path.write_bytes(b""), "is damaged"),
    "images cut off": ("data/pixels.npy", lambda path: path.write_bytes(path.read_bytes()[:5000]), "is damaged"),
    "images pickled": ("data/pixels.npy", as_objects, "is damaged"),
    "images of numbers that are none": (
        "data/pixels.npy",
        lambda path: np.save(path, np.full(np.load(path).shape, np.nan)),
        "does not fit",
    ),
    "a pixel too few": ("data/pixels.npy", lambda path: np.save(path, np.load(path)[:-1]), "does not fit"),
    "table gone": ("data/images.csv", lambda path: path.unlink(), "is missing"),
    "table empty": ("data/images.csv", lambda path: path.write_bytes(b""), "is damaged"),
    "table no text": ("data/images.csv", lambda path: path.write_bytes(b"\xff\xfe\x00"), "is damaged"),
    "a column gone": ("data/images.csv", lambda path: without(path, "patient"), "is damaged.*no column patient"),
    "split gone": ("data/split.csv", lambda path: path.unlink(), "is missing"),
    "split without its column": ("data/split.csv", lambda path: without(path, "split"), "is damaged"),
    "split of other images": (
        "data/split.csv",
        lambda path: path.write_text("id,split\nx,train\n"),
        "does not list the images",
    ),
}


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("stage", [train_srcnn, evaluate])
def test_bad_tables_and_arrays_are_refused(workspace, kind, stage):
    name, harm, reason = TABLES[kind]
    path = workspace / name
    harm(path)
    refused(workspace, stage, path.name.replace(".", r"\."), reason)


def test_bad_averages_are_refused_by_the_stage_that_draws_them(workspace):
    (workspace / "data/mean_errors.npz").write_bytes(b"PK\x03\x04 cut off")
    refused(workspace, errormaps, r"data/mean_errors\.npz", "is damaged")


RESTORED: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "array gone": ("vdsr_x3.npy", lambda path: path.unlink(), "is missing; run dvc repro"),
    "array cut off": ("srcnn_x2.npy", lambda path: path.write_bytes(path.read_bytes()[:-1]), "is damaged"),
    "array pickled": ("srcnn_x2.npy", as_objects, "is damaged"),
    "array of fewer pixels": ("vdsr_x4.npy", lambda path: np.save(path, np.load(path)[:-1]), "does not hold"),
    "array of another shape": ("vdsr_x4.npy", lambda path: np.save(path, np.load(path)[None]), "does not hold"),
    "array of another depth": ("vdsr_x4.npy", lambda path: np.save(path, np.load(path).astype(np.uint16)), "does not hold"),
    "table gone": ("images.csv", lambda path: path.unlink(), "is missing"),
    "table of other images": ("images.csv", lambda path: path.write_text("id\nx\n"), "other images"),
    "table without its column": ("images.csv", lambda path: without(path, "id"), "is damaged"),
}


@pytest.mark.parametrize("kind", RESTORED)
@pytest.mark.parametrize("stage", [errormaps, detect])
def test_bad_restored_images_are_refused(workspace, kind, stage):
    name, harm, reason = RESTORED[kind]
    harm(workspace / "data/restored" / name)
    refused(workspace, stage, "data/restored", reason)


def test_there_are_sixty_kinds():
    assert len(FILES) + len(ZIPS) + len(FOLDERS) + len(PARAMS) + len(MODELS) + len(TABLES) >= 60
