"""Compressed DICOM files that would hurt, and the process that decodes them: its limits, its threads, its end."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from cxr.formats.decode import Unusable
from cxr.formats.dicom import radiograph as dicom
from cxr.formats.dicom.compressed import decoder, decoding
from cxr.foundation.errors import UserError
from tests.support.dicom_files import BY_GDCM, dataset, save, values
from tests.support.tiny import ROOT, ended

LOSSLESS = [JPEGLossless, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless, JPEG2000, RLELossless]


def name(syntax):
    return syntax.keyword


def the_process():
    """Return the process that decodes for this one, started if it was not."""
    own = decoder._DECODERS.setdefault(os.getpid(), decoder._Decoder())
    with own._lock:
        return own._running()


def compressed(path, encoded, syntax, shape=(64, 48), bits=12):
    """Write a DICOM file of that `shape`, whatever is `encoded`."""
    data = dataset(np.zeros(shape, int), bits)
    data.PixelData = encapsulate([encoded])
    data.file_meta.TransferSyntaxUID = syntax
    data.save_as(path, enforce_file_format=True)
    return path


def huge(syntax):
    """Return a codestream of 20,000 x 10,000 pixels, as far as its header goes."""
    rows, columns = (20000).to_bytes(2, "big"), (10000).to_bytes(2, "big")
    if syntax in {JPEG2000Lossless, JPEG2000, HTJ2K, HTJ2KLossless}:
        size = b"\0\0" + b"".join(length.to_bytes(4, "big") for length in (10000, 20000, 0, 0, 10000, 20000, 0, 0))
        return b"\xff\x4f\xff\x51\x00\x29" + size + b"\0\x01\x0b\x01\x01" + bytes(2000)
    if syntax == RLELossless:
        runs = b"\x81\0" * (200_000_000 // 128)
        offsets = b"".join(length.to_bytes(4, "little") for length in (2, 64, 64 + len(runs)))
        return offsets.ljust(64, b"\0") + runs * 2
    marker = {JPEGBaseline8Bit: 0xC0, JPEGExtended12Bit: 0xC1, JPEGLSLossless: 0xF7, JPEGLSNearLossless: 0xF7}.get(syntax, 0xC3)
    comment = b"\xff\xfe\x00\x06\xff\xc0\x00\x07"  # which only looks like a size
    precision = b"\x08" if syntax == JPEGBaseline8Bit else b"\x0c"
    return (
        b"\xff\xd8" + comment + b"\xff\xff" + bytes([marker, 0, 11]) + precision + rows + columns + b"\1\1\x11\0" + bytes(2000)
    )


@pytest.mark.parametrize(
    "syntax", [*LOSSLESS, JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, HTJ2K, HTJ2KLossless], ids=name
)
def test_a_codestream_larger_than_its_header_says_reaches_no_decoder(tmp_path, monkeypatch, syntax):
    monkeypatch.setattr(subprocess, "Popen", None)
    monkeypatch.setattr(decoder, "_DECODERS", {})
    path = compressed(tmp_path / "in.dcm", huge(syntax), syntax, bits=8 if syntax == JPEGBaseline8Bit else 12)
    said = "more than 3,072, where the header says 3,072" if syntax == RLELossless else "20,000 x 10,000 x 1, where .* 64 x 48"
    with pytest.raises(Unusable, match=said) as error:
        dicom.read(path)
    assert error.value.kind == "damaged"


@pytest.mark.parametrize("change", [{"Rows": 19}, {"Columns": 13}, {"Rows": 9, "Columns": 28}, {"SamplesPerPixel": 3}], ids=str)
@pytest.mark.parametrize("syntax", LOSSLESS, ids=name)
def test_a_codestream_of_another_size_than_the_header_says_is_named(tmp_path, syntax, change):
    if syntax == RLELossless and change == {"Rows": 9, "Columns": 28}:
        return  # as many pixels, which is all that RLE says
    data = dcmread(save(dataset(values()), tmp_path / "in.dcm", syntax))
    for element, value in change.items():
        setattr(data, element, value)
    data.save_as(tmp_path / "in.dcm")
    with pytest.raises(Unusable, match=r"compressed pixels of .*, where the header says"):
        dicom.read(tmp_path / "in.dcm")


def test_two_components_are_not_one(tmp_path):
    path = save(dataset(values()), tmp_path / "in.dcm", JPEG2000Lossless)
    frame = bytearray(get_frame(dcmread(path).PixelData, 0, number_of_frames=1))
    frame[40:42] = b"\0\2"  # Csiz (ISO/IEC 15444-1, A.5.1)
    with pytest.raises(Unusable, match="18 x 14 x 2, where the header says 18 x 14 x 1"):
        dicom.read(compressed(path, bytes(frame), JPEG2000Lossless, (18, 14)))


def test_jpeg_2000_may_lie_in_a_jp2_file_and_anywhere_on_its_grid(tmp_path):
    path = save(dataset(values()), tmp_path / "in.dcm", JPEG2000Lossless)
    data = dcmread(path)
    frame = get_frame(data.PixelData, 0, number_of_frames=1)
    size = (18).to_bytes(4, "big") + (14).to_bytes(4, "big")
    header = b"\0\0\0\x16ihdr" + size + b"\0\1\x0b\7\0\0" + b"\0\0\0\x0fcolr\1\0\0\0\0\0\x11"
    boxes = b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0\0\0\x14ftypjp2 \0\0\0\0jp2 " + b"\0\0\0\x2djp2h" + header + b"\0\0\0\0jp2c"
    data.PixelData = encapsulate([boxes + frame])
    data.save_as(path)
    assert np.array_equal(dicom.read(path).stored, values())
    moved = bytearray(frame)
    for place, length in ((8, 114), (12, 118), (16, 100), (20, 100), (24, 114), (28, 118)):
        moved[place : place + 4] = length.to_bytes(4, "big")  # Xsiz, Ysiz, XOsiz, YOsiz, XTsiz, YTsiz
    data.PixelData = encapsulate([bytes(moved)])
    data.save_as(path)
    dicom.read(path)  # whose wavelets begin elsewhere: of the right size, with other values


@pytest.mark.parametrize("syntax", LOSSLESS[:-1], ids=name)
def test_tables_of_offsets_do_not_lead_to_another_codestream(tmp_path, syntax):
    path = save(dataset(values()), tmp_path / "in.dcm", syntax)
    data = dcmread(path)
    frame = get_frame(data.PixelData, 0, number_of_frames=1)
    data.PixelData = encapsulate([frame, huge(syntax)[:4000]], has_bot=False)
    data.ExtendedOffsetTable = (8 + len(frame) + len(frame) % 2).to_bytes(8, "little")
    data.ExtendedOffsetTableLengths = (2000).to_bytes(8, "little")
    data.save_as(path)
    assert np.array_equal(dicom.read(path).stored, values())


@pytest.mark.parametrize("syntax", [*BY_GDCM, RLELossless], ids=name)
def test_a_file_cut_off_or_written_over_is_named_or_read(tmp_path, syntax):
    path = save(dataset(values(height=120, width=100)), tmp_path / "in.dcm", syntax)
    content = path.read_bytes()
    begun = time.monotonic()
    for cut in (0.3, 0.6, 0.95):
        path.write_bytes(content[: int(len(content) * cut)])
        with pytest.raises(Unusable) as error:
            dicom.read(path)
        assert (error.value.kind, "\n" in str(error.value)) == ("damaged", False)
    start = len(content) // 2
    path.write_bytes(content[:start] + bytes(200) + content[start + 200 :])
    try:
        assert dicom.read(path).stored.shape == (120, 100)
    except Unusable as error:
        assert error.kind == "damaged"  # noqa: PT017
    assert time.monotonic() - begun < 10


def test_a_decoder_that_crashes_takes_one_file_with_it(tmp_path):
    good = save(dataset(values()), tmp_path / "good.dcm", JPEGLSLossless)
    assert np.array_equal(dicom.read(good).stored, values())
    process = the_process()
    frame = bytearray(get_frame(dcmread(good).PixelData, 0, number_of_frames=1))
    place = frame.index(b"\xff\xf7") + 4
    frame[place] = 45  # bits, on which GDCM ends the process that it is in
    bad = compressed(tmp_path / "bad.dcm", bytes(frame), JPEGLSLossless, (18, 14))
    with pytest.raises(Unusable, match="so damaged that decoding them crashes"):
        dicom.read(bad)
    assert process.wait(5)
    assert np.array_equal(dicom.read(good).stored, values())


def test_a_decoder_that_has_gone_meanwhile_is_started_again(tmp_path):
    good = save(dataset(values()), tmp_path / "good.dcm", JPEGLSLossless)
    process = the_process()
    process.kill()
    process.wait()
    assert np.array_equal(dicom.read(good).stored, values())


def test_a_decoder_that_never_ends_is_ended(tmp_path, monkeypatch):
    good = save(dataset(values()), tmp_path / "good.dcm", JPEGLSLossless)
    process = the_process()
    process.send_signal(signal.SIGSTOP)
    monkeypatch.setattr(decoder, "seconds", lambda pixels: 0.2)
    with pytest.raises(Unusable, match="decoding took more than 0 s"):
        dicom.read(good)
    assert process.wait(5) == -signal.SIGKILL
    monkeypatch.undo()
    assert np.array_equal(dicom.read(good).stored, values())


def test_small_files_are_refused_within_ten_seconds_and_large_ones_have_time():
    assert decoding.seconds(300 * 300) < 10
    assert decoding.seconds(5000 * 5000) > 5 * 0.41 * 25  # seconds a million pixels, as JPEG 2000 took on two busy cores


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the clock is all there is")
def test_the_process_takes_no_more_memory_and_time_than_the_image_needs(tmp_path):
    dicom.read(save(dataset(values(height=1000, width=1000)), tmp_path / "in.dcm", JPEGLSLossless))
    process = psutil.Process(the_process().pid)
    assert process.rlimit(psutil.RLIMIT_AS)[0] < 1.2 * 2**30
    assert process.rlimit(psutil.RLIMIT_CPU)[0] <= process.cpu_times().user + process.cpu_times().system + 12
    dicom.read(save(dataset(values()), tmp_path / "in.dcm", JPEGLSLossless))
    assert process.rlimit(psutil.RLIMIT_AS)[0] < 2**30


def test_what_takes_more_memory_is_named(tmp_path, monkeypatch):
    path = save(dataset(values(height=1000, width=1000)), tmp_path / "in.dcm", JPEGLSLossless)
    (tmp_path / "tight.py").write_text(
        "from cxr.formats.dicom.compressed import decoding\ndecoding.memory = lambda pixels: 1 << 20\nmain = decoding.main\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(decoder, "decoding", SimpleNamespace(__name__="tight"))
    monkeypatch.setattr(decoder, "_DECODERS", {})
    with pytest.raises(Unusable, match="crashes or takes more than"):
        dicom.read(path)


def test_threads_get_their_own_pixels(tmp_path):
    syntaxes = [*LOSSLESS, JPEGBaseline8Bit][:6]
    files = int(os.environ.get("DECODER_FILES", "64"))
    shapes = [(20 + index % 7, 30 + index % 11) for index in range(files)]
    stored = [np.random.default_rng(index).integers(0, 4096, shape) for index, shape in enumerate(shapes)]
    paths = [
        save(dataset(each), tmp_path / f"{index}.dcm", syntaxes[index % len(syntaxes)]) for index, each in enumerate(stored)
    ]
    with ThreadPoolExecutor(8) as pool:
        for found, expected in zip(pool.map(dicom.read, paths), stored, strict=True):
            assert np.array_equal(found.stored, expected)
    assert np.array_equal(dicom.read(paths[0]).stored, stored[0])  # though the thread that came first has ended


def test_the_process_outlives_the_thread_that_came_first(tmp_path):
    path = save(dataset(values()), tmp_path / "in.dcm", RLELossless)
    decoder._DECODERS.clear()
    thread = threading.Thread(target=dicom.read, args=(path,))
    thread.start()
    thread.join()
    process = the_process()
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks")
def test_a_fork_decodes_by_itself_and_leaves_the_parents_process_alone(tmp_path):
    script = f"""
import os, sys
from pathlib import Path
from cxr.formats.dicom import radiograph
from cxr.formats.dicom.compressed import decoder
path = Path({str(save(dataset(values()), tmp_path / "in.dcm", RLELossless))!r})
radiograph.read(path)
first = decoder._DECODERS[os.getpid()]._process
if os.fork() == 0:
    radiograph.read(path)
    assert decoder._DECODERS[os.getpid()]._process.pid != first.pid
    sys.exit(7)  # with all that is done at an exit
assert os.waitstatus_to_exitcode(os.wait()[1]) == 7
radiograph.read(path)
assert first is decoder._DECODERS[os.getpid()]._process
assert first.poll() is None
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], env=environment, check=True, timeout=60)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_the_process_knows_no_credentials(tmp_path, monkeypatch):
    for secret in ("KAGGLE_KEY", "KAGGLE_USERNAME", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "ANYTHING"):
        monkeypatch.setenv(secret, "swordfish")
    monkeypatch.setattr(decoder, "_DECODERS", {})
    path = save(dataset(values()), tmp_path / "in.dcm", RLELossless)
    assert np.array_equal(dicom.read(path).stored, values())
    environment = Path(f"/proc/{the_process().pid}/environ").read_bytes()
    assert b"swordfish" not in environment
    assert {entry.partition(b"=")[0].decode() for entry in environment.split(b"\0") if entry} <= {
        *decoder._PASSED,
        "OPENBLAS_NUM_THREADS",
        "PYTHONUSERBASE",
    }


READING = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs ignore
from pathlib import Path
import numpy as np
from cxr.formats.dicom import derived, radiograph
from cxr.formats.dicom.compressed import decoder
folder = Path(sys.argv[1])
small = radiograph.read(folder / "small.dcm")
print(decoder._DECODERS[os.getpid()]._process.pid, flush=True)
while True:
    radiograph.read(folder / "in.dcm")
    derived.write(folder / "out.dcm", derived.derived(small, np.kron(small.stored, np.ones((2, 2), int)), 2, "note", "maker"))
"""


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_behind(tmp_path, sent):
    save(dataset(values(height=900, width=900)), tmp_path / "in.dcm", JPEG2000Lossless)  # most of the time is its
    save(dataset(values()), tmp_path / "small.dcm", RLELossless)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", READING, str(tmp_path)], env=environment, stdout=-1, stderr=-1) as reading:
        assert reading.stdout is not None
        try:
            child = psutil.Process(int(reading.stdout.readline()))
            time.sleep(0.5)
            assert psutil.Process(reading.pid).children(recursive=True) == [child]
            reading.send_signal(sent)
            assert ended(child, 2)
            reading.communicate(timeout=5)
            assert reading.returncode == -sent
        finally:
            reading.kill()
    left = {path.name for path in tmp_path.iterdir()} - {"in.dcm", "small.dcm", "out.dcm"}
    if sent != signal.SIGINT:  # which alone a process that is writing outlives
        left = {name for name in left if not name.endswith(".partial.dcm")}
    assert left == set()


def test_nothing_in_the_folder_of_the_radiographs_is_run(tmp_path, monkeypatch):
    monkeypatch.setattr(decoder, "_DECODERS", {})
    save(dataset(values()), tmp_path / "in.dcm", RLELossless)
    for module in ("gdcm", "pydicom", "json", "numpy"):
        (tmp_path / f"{module}.py").write_text("from pathlib import Path\nPath('run').touch()\nraise SystemExit\n")
    monkeypatch.chdir(tmp_path)
    assert np.array_equal(dicom.read(Path("in.dcm")).stored, values())
    assert not (tmp_path / "run").exists()


def test_a_file_is_found_from_wherever_it_is_named(tmp_path, monkeypatch):
    for each in ("a", "b"):
        (tmp_path / each).mkdir()
        save(dataset(values()), tmp_path / each / f"{each}.dcm", RLELossless)
    for each in ("a", "b"):  # the decoder's process has started in the first
        monkeypatch.chdir(tmp_path / each)
        assert np.array_equal(dicom.read(Path(f"{each}.dcm")).stored, values())


def test_a_process_that_cannot_start_is_no_fault_of_the_file(tmp_path, monkeypatch):
    path = save(dataset(values()), tmp_path / "in.dcm", RLELossless)
    monkeypatch.setattr(decoder, "_DECODERS", {})
    for python in (tmp_path / "none", "/bin/false"):
        monkeypatch.setattr(sys, "executable", str(python))
        with pytest.raises(UserError, match="decodes compressed DICOM files does not start: "):
            dicom.read(path)
