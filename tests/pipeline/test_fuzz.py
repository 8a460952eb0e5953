"""Generated nonsense: no traceback, no hang, no heap of memory, nothing written elsewhere; `make fuzz` tries more of it."""

import io
import os
import re
import resource
import tempfile
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import UID, RLELossless
from ruamel.yaml import YAML

from cxr.formats.decode import Unusable, decode
from cxr.formats.dicom import derived
from cxr.formats.dicom import radiograph as dicom
from cxr.foundation.errors import UserError
from cxr.sources.local import fetch
from cxr.sources.settings import Download
from stages import check
from tests.support.damage import image, mutated
from tests.support.dicom_files import BY_GDCM, BY_PYDICOM, dataset, save
from tests.support.dicom_files import values as stored_values
from tests.support.tiny import ROOT

TIMES = int(os.environ.get("FUZZ_TIMES", "1"))
MEMORY = 2 * 2**30  # bytes
SLACK = 16 << 20  # bytes by which a process that has had more before may grow
SECONDS = 10
COMMON: dict[str, Any] = {
    "deadline": timedelta(seconds=SECONDS),
    "derandomize": TIMES == 1,
    "database": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large],
}
GOOD = (ROOT / "params.yaml").read_text()
LINES = GOOD.splitlines(keepends=True)
DOCUMENT = YAML(typ="safe").load(GOOD)
KEYS = [(section, key) for section, keys in DOCUMENT.items() for key in keys]

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**40), 10**40)
    | st.floats()
    | st.text(max_size=30)
    | st.sampled_from(["auto", "", "0", "1e-4", "~", "x" * 5000])
    | st.dates()
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)


@st.composite
def wrong_values(draw: st.DrawFn) -> bytes:
    """Return params.yaml with the values of a few keys, or whole sections, replaced."""
    document = {section: dict(keys) for section, keys in DOCUMENT.items()}
    for section, key in draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=3)):
        target: dict[str, Any] = document[section] if isinstance(document[section], dict) else document
        where = draw(st.sampled_from([key, section, draw(st.text(max_size=12))]))
        (document if where == section else target)[where] = draw(values)
    buffer = io.BytesIO()
    writer = YAML(typ="safe")
    writer.allow_unicode = True
    writer.dump(document, buffer)
    return buffer.getvalue()


@st.composite
def wrong_lines(draw: st.DrawFn) -> bytes:
    """Return params.yaml with lines left out, doubled, swapped or written over."""
    lines = list(LINES)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(lines) - 1))
        change = draw(st.sampled_from(["cut", "double", "swap", "text"]))
        if change == "cut":
            del lines[place]
        elif change == "double":
            lines.insert(place, lines[place])
        elif change == "swap":
            lines[place], lines[-place] = lines[-place], lines[place]
        else:
            start = draw(st.integers(0, len(lines[place])))
            syntax = draw(st.text(st.characters() | st.sampled_from("\t:-[]{}&*!|>'\"%@`#,?\n"), max_size=12))
            lines[place] = lines[place][:start] + syntax + lines[place][start:]
    return "".join(lines).encode("utf-8", "surrogatepass")


def peak() -> int:
    """Return the most bytes that this process has held, and beside it the greediest of those it has started or has now."""
    own, ended = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    alive = [0]
    for child in psutil.Process().children():
        with suppress(OSError, AttributeError):  # it has ended meanwhile
            alive.append(int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{child.pid}/status").read_text())[1]))
    return (own + max(ended, *alive)) * 1024


def in_a_folder(work: Callable[[Path], None], allowed: set[str]) -> None:
    """Let `work` run in the folder `inner` of an otherwise empty one, within 10 s and 2 GB, writing only what is `allowed`."""
    before = peak()  # of other tests, which may have held more in this process
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "inner").mkdir()
        begun = time.monotonic()
        work(Path(name) / "inner")
        assert time.monotonic() - begun < SECONDS
        written = {path.relative_to(name).as_posix() for path in Path(name).rglob("*") if path.is_file()}
        assert {path for path in written if not any(path.startswith(each) for each in allowed)} == set()
    assert peak() <= max(before + SLACK, MEMORY)


@settings(max_examples=100 * TIMES, **COMMON)
@given(wrong_values() | wrong_lines() | st.binary(max_size=300) | st.text(max_size=100).map(lambda text: text.encode()))
def test_params_are_understood_or_refused_in_one_line(content: bytes) -> None:
    def work(folder: Path) -> None:
        (folder / "params.yaml").write_bytes(content)
        try:
            check.run(folder)
        except UserError as error:
            line = str(error)
            assert "\n" not in line
            assert len(line) < 2000
            assert str(folder / "params.yaml") in line
            assert not (folder / "data").exists()

    in_a_folder(work, {"inner/params.yaml", "inner/data/params.ok"})


def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name in ("NORMAL/a.jpeg", "PNEUMONIA/b.jpeg", "readme.txt"):
            file.writestr(name, image("JPEG"))
    return buffer.getvalue()


CONTENTS = {"jpeg": image("JPEG"), "png": image("PNG"), "tif": image("TIFF"), "zip": archive()}


@pytest.mark.parametrize("kind", ["jpeg", "png", "tif"])
def test_mutated_images_are_decoded_or_set_aside(kind: str) -> None:
    @settings(max_examples=20 * TIMES, **COMMON)
    @given(mutated(CONTENTS[kind]))
    def decoded_or_not(content: bytes) -> None:
        def work(folder: Path) -> None:
            (folder / f"a.{kind}").write_bytes(content)
            try:
                assert decode(folder / f"a.{kind}").ndim == 2
            except Unusable as error:
                assert error.kind == "damaged"  # noqa: PT017
                assert "\n" not in error.reason  # noqa: PT017

        in_a_folder(work, {f"inner/a.{kind}"})

    decoded_or_not()


@pytest.mark.parametrize("syntax", [*BY_PYDICOM, *BY_GDCM], ids=lambda syntax: syntax.name.replace(" ", ""))
def test_mutated_dicom_files_are_derived_from_or_set_aside(tmp_path: Path, syntax: UID) -> None:
    content = save(dataset(stored_values()), tmp_path / "a.dcm", syntax).read_bytes()

    @settings(max_examples=8 * TIMES, **COMMON)
    @given(mutated(content))
    def derived_or_not(content: bytes) -> None:
        def work(folder: Path) -> None:
            (folder / "a.dcm").write_bytes(content)
            try:
                radiograph = dicom.read(folder / "a.dcm")
                larger = np.kron(radiograph.values(radiograph.levels()), np.ones((2, 2), int))
                derived.write(folder / "out.dcm", derived.derived(radiograph, larger, 2, "note", "maker"))
            except Unusable as error:
                assert "\n" not in error.reason  # noqa: PT017

        in_a_folder(work, {"inner/a.dcm", "inner/out.dcm"})

    derived_or_not()


@pytest.mark.parametrize("syntax", [RLELossless, *list(BY_GDCM)[1:]], ids=lambda syntax: syntax.name.replace(" ", ""))
def test_codestreams_with_mutated_heads_are_decoded_or_set_aside(tmp_path: Path, syntax: UID) -> None:
    data = dcmread(save(dataset(stored_values()), tmp_path / "a.dcm", syntax))
    frame = get_frame(data.PixelData, 0, number_of_frames=1)

    @settings(max_examples=8 * TIMES, **COMMON)
    @given(mutated(frame[:120]))
    def decoded_or_not(head: bytes) -> None:
        def work(folder: Path) -> None:
            data.PixelData = encapsulate([head + frame[120:]])
            data.save_as(folder / "a.dcm")
            try:
                assert dicom.read(folder / "a.dcm").stored.shape == (data.Rows, data.Columns)
            except Unusable as error:
                assert error.kind == "damaged"  # noqa: PT017
                assert "\n" not in error.reason  # noqa: PT017

        in_a_folder(work, {"inner/a.dcm"})

    decoded_or_not()


@settings(max_examples=20 * TIMES, **COMMON)
@given(mutated(CONTENTS["zip"]))
def test_mutated_zips_are_unpacked_or_refused_in_one_line(content: bytes) -> None:
    def work(folder: Path) -> None:
        (folder / "a.zip").write_bytes(content)
        try:
            fetch(folder / "a.zip", folder / "raw", Download("local", "a.zip", "", {}, {}, "", ""))
        except UserError as error:
            assert "\n" not in str(error)  # noqa: PT017
            assert "a.zip" in str(error)  # noqa: PT017

    in_a_folder(work, {"inner/a.zip", "inner/raw/"})
