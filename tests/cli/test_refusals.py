"""Never worse: what came in is told, and what would be harmed is not enhanced."""

import csv
import io
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit

from cxr.cli import enhance
from cxr.figures.panels import comparison
from cxr.formats.dicom.compressed.lossy import loss
from cxr.formats.note import note_in
from cxr.foundation.errors import RefusedError, UserError
from cxr.foundation.place import ROOT
from cxr.sources.phantom.scene import draw
from cxr.superres.limits import COLUMNS
from cxr.superres.model import load_model
from tests.support.dicom_files import dataset, save

CAPS = {"clean": (0, 0, 0, 1.0, ""), "noise2": (2, 2, 0, 0.5, "it harms a nodule"), "jpeg90": (0, 0, 90, 1.0, "")}


@pytest.fixture(autouse=True)
def there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "pretrained/srcnn.safetensors", "srcnn.safetensors")
    digest = load_model("srcnn.safetensors").digest
    with Path("limits.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(["srcnn", digest, 2, name, *found, 1] for name, found in CAPS.items())


@pytest.fixture(scope="module")
def clean() -> np.ndarray:
    pixels = draw(0, 3, 768).pixels
    return np.asarray(Image.fromarray(pixels).resize((pixels.shape[1] // 3, 256), Image.Resampling.BICUBIC))


def noisy(clean: np.ndarray, level: float) -> np.ndarray:
    return (clean + np.random.default_rng(0).normal(size=clean.shape) * level).round().clip(0, 255).astype(np.uint8)


def run(*arguments):
    enhance.main([str(argument) for argument in (*arguments, "--model", "srcnn.safetensors")])


def shown(path: str) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(int)


def test_what_came_in_is_told_in_one_line(clean, capsys):
    Image.fromarray(clean).save("clean.png")
    Image.fromarray(clean).save("small.jpg", quality=92)
    run("clean.png", "small.jpg", "-o", "out")
    lines = capsys.readouterr().out.splitlines()
    assert "clean.png: hardly any noise; no sign of JPEG" in lines
    assert any(line.startswith("small.jpg: ") and line.endswith("; JPEG of quality 92, by its file") for line in lines)


def test_beyond_what_was_measured_nothing_is_written(clean):
    Image.fromarray(noisy(clean, 6)).save("noisy.png")
    with pytest.raises(
        RefusedError, match=r"^noisy\.png: noise of about .*; its noise is beyond the 2\.0 grey levels that SRCNN"
    ):
        run("noisy.png", "-o", "out.png", "--compare")
    assert not Path("out.png").exists()
    assert not Path("out.png.compare.png").exists()
    run("noisy.png", "-o", "out.png", "--or-bicubic")
    Path("out_interpolated.png").rename("out.png")
    with pytest.raises(RefusedError, match=r"\(--or-bicubic interpolates it\); out\.png is of an earlier run$"):
        run("noisy.png", "-o", "out.png", "--overwrite")


def test_the_command_ends_with_3_where_all_that_failed_was_refused(clean):
    Image.fromarray(noisy(clean, 6)).save("noisy.png")
    Image.fromarray(clean).save("clean.png")
    Path("broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")

    def code(*names: str) -> tuple[int, str]:
        call = "import sys; from cxr.cli.main import run; run()"
        arguments = ["enhance", *names, "-o", "out", "--model", "srcnn.safetensors"]
        env = {"PYTHONPATH": str(ROOT), "PATH": ""}
        done = subprocess.run([sys.executable, "-c", call, *arguments], capture_output=True, text=True, env=env, check=False)
        return done.returncode, done.stderr

    status, told = code("noisy.png", "clean.png")
    assert status == 3
    assert told.startswith("error: noisy.png: noise of about ")
    assert "Traceback" not in told
    assert Path("out/clean.png").exists()
    assert not Path("out/noisy.png").exists()
    assert code("noisy.png", "broken.png")[0] == 1


def test_or_bicubic_interpolates_and_says_so_in_name_and_note(clean, capsys):
    image = noisy(clean, 6)
    Image.fromarray(image).save("noisy.png")
    for _ in range(2):  # the second time over the first one's result
        run("noisy.png", "-o", "out", "--or-bicubic", "--compare")
    assert sorted(path.name for path in Path("out").iterdir()) == [
        "noisy_interpolated.png",
        "noisy_interpolated.png.compare.png",
    ]
    assert note_in(Path("out/noisy_interpolated.png")).startswith("Interpolated x2, not enhanced, chest-xray-superres.")
    said = capsys.readouterr().out
    assert "; interpolated, not enhanced" in said
    assert re.search(r"^0 of 1 enhanced x2 by SRCNN \(model \w+\); 1 interpolated, not enhanced: ", said, re.MULTILINE)
    found = shown("out/noisy_interpolated.png")
    size = 2 * image.shape[1], 2 * image.shape[0]
    pillows = np.asarray(Image.fromarray(image.astype(np.float32)).resize(size, Image.Resampling.BICUBIC))
    assert np.abs(found - pillows.clip(0, 255)).max() < 0.51


def test_where_the_full_strength_harms_it_is_capped(clean, capsys):
    Image.fromarray(noisy(clean, 2)).save("a.png")
    run("a.png", "-o", "capped.png")
    said = capsys.readouterr().out
    assert "; strength 0.5, for at more it harms a nodule" in said
    assert ", of these 1 at strength 0.5 only: " in said
    assert " at strength 0.5, chest-xray-superres." in note_in(Path("capped.png"))
    Path("limits.csv").unlink()
    for strength in ("0", "0.5", "1"):
        run("a.png", "-o", f"{strength}.png", "--strength", strength)
    assert np.array_equal(shown("capped.png"), shown("0.5.png"))
    middle = (shown("0.png") + shown("1.png")) / 2
    assert np.abs(shown("0.5.png") - middle).max() <= 1
    assert not np.array_equal(shown("0.png"), shown("1.png"))
    assert note_in(Path("0.png")).startswith("Interpolated x2, not enhanced")


def test_a_lesser_strength_than_the_cap_is_taken_as_it_is(clean, capsys):
    Image.fromarray(noisy(clean, 2)).save("a.png")
    run("a.png", "-o", "out.png", "--strength", "0.25")
    assert " at strength 0.25, " in note_in(Path("out.png"))
    assert "for at more" not in capsys.readouterr().out


def test_what_is_not_enhanced_is_called_bicubic_in_the_comparison(clean, monkeypatch):
    drawn = []
    monkeypatch.setattr("cxr.result.comparison", lambda *given: drawn.append(given[2]) or comparison(*given))
    Image.fromarray(clean).save("a.png")
    for strength in ("0", "1"):
        run("a.png", "-o", f"{strength}.png", "--strength", strength, "--compare")
    assert drawn == ["bicubic", "srcnn"]


@pytest.mark.parametrize("strength", ["-0.1", "1.5", "nan"])
def test_a_strength_that_is_none_is_refused(clean, strength):
    Image.fromarray(clean).save("a.png")
    with pytest.raises(UserError, match=r"the strength is .*; give one from 0 to 1"):
        run("a.png", "-o", "out.png", "--strength", strength)


def test_dicom_files_are_told_capped_and_refused_too(clean, capsys):
    deep = (clean.astype(int) * 16).astype(np.uint16)
    noise = np.random.default_rng(0).normal(size=deep.shape) * 16
    for level in (0, 2, 6):
        save(dataset((deep + noise * level).round().clip(0, 4095).astype(np.uint16), bits=12), Path(f"{level}.dcm"))
    run("0.dcm", "2.dcm", "-o", "out")
    assert "2.dcm: noise of about " in capsys.readouterr().out
    assert "at strength 0.5" in dcmread("out/2.dcm").DerivationDescription
    assert "strength" not in dcmread("out/0.dcm").DerivationDescription
    with pytest.raises(RefusedError, match=r"^6\.dcm: noise"):
        run("6.dcm", "-o", "refused.dcm")
    run("6.dcm", "-o", "other.dcm", "--or-bicubic")
    assert "Interpolated x2, not enhanced" in dcmread("other_interpolated.dcm").DerivationDescription


def test_a_dicom_header_that_tells_of_loss_is_believed(clean, capsys):
    data = dataset(clean, bits=8)
    data.LossyImageCompression = "01"
    save(data, Path("a.dcm"))
    run("a.dcm", "-o", "out.dcm")
    assert "a.dcm: hardly any noise; compressed with loss, as its file says" in capsys.readouterr().out


def test_of_a_jpeg_in_dicom_the_tables_tell_the_quality(clean):
    """Also where the window hides from the pixels that they were in one."""
    file = io.BytesIO()
    Image.fromarray(clean).save(file, "JPEG", quality=83)
    data = dataset(clean, bits=8, WindowCenter=120, WindowWidth=180)
    data.PixelData = encapsulate([file.getvalue()])
    data["PixelData"].VR, data["PixelData"].is_undefined_length = "OB", True
    data.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    data.save_as("a.dcm", enforce_file_format=True)
    steps = np.array(Image.open(file).quantization[0]).reshape(8, 8)  # by rows, as Pillow has them
    np.testing.assert_array_equal(loss(data)[0], steps)
    with pytest.raises(RefusedError, match="; JPEG of quality 83, by its file; its JPEG quality is below the 90"):
        run("a.dcm", "-o", "out.dcm")


def test_an_interpolated_result_replaces_no_other_result_and_no_input(clean):
    for name in ("a.png", "a_interpolated.png"):
        Path("in").mkdir(exist_ok=True)
        Image.fromarray(noisy(clean, 6) if name == "a.png" else clean).save(Path("in") / name)
    with pytest.raises(UserError, match=r"would both become out/a_interpolated\.png; give them one by one"):
        run("in", "-o", "out", "--or-bicubic", "--overwrite")
    assert not Path("out").exists() or not list(Path("out").iterdir())
    Path("out").mkdir(exist_ok=True)
    truth = shutil.copy("in/a.png", "out/a_interpolated.png")
    with pytest.raises(UserError, match=r"out/a_interpolated\.png would be overwritten; name another output"):
        run("in/a.png", "-o", "out", "--or-bicubic", "--overwrite", "--reference", truth)


def test_of_a_network_that_was_not_measured_that_is_told_where_it_matters(clean, capsys):
    Path("limits.csv").unlink()
    Image.fromarray(noisy(clean, 6)).save("noisy.png")
    Image.fromarray(clean).save("clean.png")
    run("noisy.png", "clean.png", "-o", "out")
    lines = capsys.readouterr().out.splitlines()
    assert "clean.png: hardly any noise; no sign of JPEG" in lines
    assert any(line.startswith("noisy.png: ") and line.endswith("on such radiographs was not measured") for line in lines)
