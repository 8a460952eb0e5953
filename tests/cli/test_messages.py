"""What the user reads: one line, of the right file, that names no patient with --anonymise; and the batch goes on."""

import errno
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxr.cli import enhance, main
from cxr.foundation.errors import UserError
from cxr.foundation.place import ROOT
from tests.support.dicom_files import dataset, save, values

NAME = "GEHEIM"

pytestmark = pytest.mark.usefixtures("unlimited")


def run(*arguments):
    enhance.main([str(argument) for argument in (*arguments, "--model", "srcnn")])


def picture(path, bits=8):
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = np.uint8 if bits == 8 else np.uint16
    Image.fromarray(np.random.default_rng(0).integers(0, 1 << bits, (16, 12), kind)).save(path, "PNG")
    return path


def radiograph(path):
    return save(dataset(values(), BurnedInAnnotation="NO"), path)


@pytest.fixture(autouse=True)
def there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


LONG = "n" * 252 + ".png"  # one byte more than names may have


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("a**b -o out", r"a\*\*b is missing; name a radiograph or a folder of them"),
        (f"{LONG} -o out", f"{LONG}: File name too long; name a radiograph or a folder of them"),
        ("a.dcm/b -o out", "a.dcm/b is missing; name a radiograph or a folder of them"),
        ("loop -o out", "loop is missing; name a radiograph or a folder of them"),
        ("a.dcm -o loop", "loop is a link that leads nowhere; name a folder, or a file that ends in .jpg, .*"),
        ("a.dcm -o gone", "gone is a link that leads nowhere; name a folder, or a file that ends in .jpg, .*"),
        ("a.dcm -o gone --anonymise", "gone is a link that leads nowhere; name a folder, or a file that ends in .jpg, .*"),
        ("a.dcm -o loop/out", "loop/out: Too many levels of symbolic links"),
        ("a.dcm -o loop/out --anonymise", "loop(/out)?: .*; see to it and run it again"),
        (f"a.dcm -o {LONG}", f"{LONG}: File name too long; see to it and run it again"),
        ("a.dcm -o a.dcm/out", "a.dcm(/out)?: (Not a directory|File exists)"),
        ("a.dcm -o a.dcm/out --anonymise", "a.dcm(/out)?: (Not a directory|File exists); see to it and run it again"),
        ("a.dcm -o out --anonymise --key nofolder/key", "nofolder/key: No such file or directory; see to it and run it again"),
        (f"a.dcm -o out --anonymise --key {LONG}", f"{LONG}: File name too long; see to it and run it again"),
        ("a.dcm -o out --anonymise --key loop", "loop is no file; name one for the key, which is made if it is missing"),
        ("a.dcm -o out --reference loop", "loop is no file; name a reference"),
        ("a.dcm -o out --model loop", "loop: Too many levels of symbolic links; see to it and run it again"),
        (f"a.dcm -o out --model {LONG}", f"{LONG}: File name too long; see to it and run it again"),
        ("a.dcm -o out --model a.dcm/b", "a.dcm/b: Not a directory; see to it and run it again"),
    ],
)  # fmt: skip
def test_what_no_disk_takes_ends_in_one_line_that_names_it(monkeypatch, arguments, said):
    radiograph(Path("a.dcm"))
    Path("loop").symlink_to("loop")
    Path("gone").symlink_to("nowhere")
    monkeypatch.setattr(sys, "argv", ["cxr", "enhance", *arguments.split()])
    with pytest.raises(SystemExit) as ended:
        main.run()
    assert re.fullmatch(f"error: {said}", ended.value.code)
    assert not Path("out").exists()


@pytest.mark.parametrize(
    "name", [b"M\xfcller.png", b"new\nline.png", b"a$\\frac$b.png", b"$.png", "\u202eR\u0301.png".encode()]
)
def test_names_that_no_screen_can_show_cost_nothing(name, capsys):
    source = picture(Path("in") / os.fsdecode(name), 12)
    picture(Path("in/z.png"))
    run("in", "-o", "out", "--compare")
    assert sorted(os.listdir(b"out")) == sorted([name, name + b".compare.png", b"z.png", b"z.png.compare.png"])  # noqa: PTH208
    said = capsys.readouterr().out
    said.encode()
    assert sum(": values up to 4," in line for line in said.splitlines()) == 1
    assert len(said.splitlines()) == 4  # a line on what came in for either, and the last one
    source.write_bytes(b"")
    with pytest.raises(UserError) as error:
        run("in", "-o", "out", "--scale", "3")
    assert re.fullmatch(r"out/.*\.png, out/.*\.png are there already, .*", str(error.value))
    with pytest.raises(UserError) as error:
        run("in", "-o", "other")
    assert "\n" not in str(error.value)
    assert str(error.value).endswith(".png: the file is empty")


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_a_reader_that_has_gone_or_a_poor_screen_ends_no_batch(encoding):
    """As `cxr enhance in | head -0`."""
    for name in ("a", "\N{LATIN SMALL LETTER U WITH DIAERESIS}", os.fsdecode(b"\xff")):
        picture(Path(f"in/{name}.png"), 12)
    call = "from cxr.cli.main import run; run()"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": f"{encoding}:strict"}
    reading, writing = os.pipe()
    if encoding == "utf-8":
        os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", call, "enhance", "in", "-o", "out", "--model", without_limits()],
        env=environment, stdout=writing, stderr=subprocess.PIPE, text=True, check=False, timeout=60,
    )  # fmt: skip
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(list(Path("out").iterdir())) == 3
    if encoding == "ascii":
        assert b"3 of 3 enhanced" in os.read(reading, 10_000)
        os.close(reading)


@pytest.mark.parametrize("name", ["e", "a", "input", "b"])
@pytest.mark.parametrize("kind", [picture, radiograph])
def test_a_short_name_garbles_no_message(name, kind):
    kind(Path(name))
    for more, label in (([], name), (["--anonymise", "--pixels-checked"], "input 1")):
        with pytest.raises(UserError) as error:
            run(name, "-o", "out", "--bits", "4", *more)
        assert re.fullmatch(
            rf"{label}: values up to [\d,]+ exceed 15, the most that 4 bits hold; give \d+ bits or more", str(error.value)
        )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("GEHEIM.dcm -o link.dcm", "input 1 would be overwritten; name another output"),
        ("GEHEIM.dcm -o hard.dcm --overwrite", "input 1 would be overwritten; name another output"),
        ("GEHEIM.dcm -o out.png", "out.png: the source is DICOM and keeps its kind; name a result that ends in .dcm"),
        ("GEHEIM.png -o out.dcm", "out.dcm: the source is no DICOM and keeps its kind; name a result that ends in .png"),
        ("GEHEIM.d?? GEHEIMfolder -o out", r"argument 2 holds no radiograph \(.*"),
        ("GEHEIM.dcm GEHEIM2 -o out", "argument 2 is missing; name a radiograph or a folder of them"),
        (f"GEHEIM{LONG} -o out", "argument 1: File name too long; name a radiograph or a folder of them"),
        ("GEHEIMpipe -o out", "argument 1 is a pipe; name a file"),
        ("GEHEIM.* -o out.dcm", "input 1 and input 2 would both become out.dcm; give them one by one"),
        ("GEHEIM.dcm -o out --scale 4 --reference link.dcm", r"the reference has \(18, 14\) rows and columns, .*"),
        ("GEHEIM.png -o other.png --overwrite --reference GEHEIMref.png", "the reference would be overwritten; .*"),
        ("GEHEIM.dcm -o out --reference GEHEIMref", "the reference is no file; name a reference"),
        ("GEHEIM.dcm -o out --reference GEHEIMpipe", "the reference is a pipe; name a file"),
        (f"GEHEIM.dcm -o out --reference GEHEIM{LONG}", "the reference is no file; name a reference"),
        (f"GEHEIM{LONG} -o out.dcm", "argument 1: File name too long; name a radiograph or a folder of them"),
    ],
)
def test_no_message_names_an_input_that_is_de_identified(arguments, said):
    radiograph(Path(f"{NAME}.dcm"))
    picture(Path(f"{NAME}.png"))
    Path(f"{NAME}folder").mkdir()
    os.mkfifo(f"{NAME}pipe")
    Path("link.dcm").symlink_to(f"{NAME}.dcm")
    Path("hard.dcm").hardlink_to(f"{NAME}.dcm")
    Path("other.png").symlink_to(picture(Path(f"{NAME}ref.png")))
    with pytest.raises(UserError) as error:
        run(*arguments.split(), "--anonymise", "--pixels-checked")
    assert re.fullmatch(said, str(error.value))


def test_a_comparison_that_leads_to_the_source_names_it_by_its_number():
    given = [picture(Path(f"{NAME}.png")), "-o", "out", "--anonymise", "--pixels-checked", "--key", "key", "--compare"]
    run(*given)
    (drawn,) = Path("out").glob("*.compare.png")
    drawn.unlink()
    drawn.symlink_to(Path(f"{NAME}.png").absolute())
    with pytest.raises(UserError, match=r"^input 1 would be overwritten; name another output$"):
        run(*given, "--overwrite")


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="this system has no file that cannot be read")
@pytest.mark.parametrize("suffix", [".dcm", ".png"])
@pytest.mark.parametrize("more", [[], ["--anonymise", "--pixels-checked"]], ids=["", "anonymise"])
def test_a_file_that_a_broken_disk_holds_ends_no_batch(suffix, more):
    Path("in").mkdir()
    Path(f"in/{NAME}{suffix}").symlink_to("/proc/self/mem")
    radiograph(Path("in/b.dcm"))
    picture(Path("in/c.png"))
    with pytest.raises(UserError) as error:
        run("in", "-o", "out", *more)
    label = "input 1" if more else f"in/{NAME}{suffix}"
    assert str(error.value) == f"{label}: Input/output error"
    assert len(list(Path("out").iterdir())) == 2


@pytest.mark.parametrize("more", [[], ["--anonymise", "--pixels-checked"]], ids=["", "anonymise"])
def test_a_folder_that_may_be_listed_but_not_entered_ends_no_batch(monkeypatch, more):
    picture(Path("in/a.png"))
    picture(Path(f"in/{NAME}/b.png"))
    found = os.stat

    def closed(path, **options):
        if os.fspath(path) == f"in/{NAME}/b.png":
            raise PermissionError(errno.EACCES, "Permission denied", os.fspath(path))
        return found(path, **options)

    monkeypatch.setattr("os.stat", closed)
    monkeypatch.setattr("cxr.service.is_dicom", lambda path: closed(path) is None)
    with pytest.raises(UserError) as error:
        run("in", "-o", "out", *more)
    label = "input 1" if more else f"in/{NAME}/b.png"
    assert str(error.value) == f"{label}: Permission denied"
    assert len(list(Path("out").glob("*.png"))) == 1


def test_no_text_of_the_reference_is_told(tmp_path):
    radiograph(Path("a.dcm"))
    save(dataset(values(), PhotometricInterpretation="GEHEIM_MUELLER"), Path("truth.dcm"))
    with pytest.raises(UserError) as error:
        run("a.dcm", "-o", "out", "--reference", "truth.dcm", "--anonymise", "--pixels-checked")
    assert str(error.value) == "the reference: damaged; without --anonymise, the reason is told"
    with pytest.raises(UserError, match=r"^truth.dcm: PhotometricInterpretation is GEHEIM_MUELLER"):
        run("a.dcm", "-o", "out", "--reference", "truth.dcm")


def without_limits() -> Path:
    """Return a file of SRCNN that has no limits beside it, for processes of their own."""
    return shutil.copy(ROOT / "pretrained/srcnn.safetensors", Path.cwd() / "srcnn.safetensors")


def printed_to(screen: Path, *arguments: str, closed: bool = False) -> subprocess.CompletedProcess[str]:
    """Run `cxr enhance` whose output goes to `screen`, or is closed."""
    call = f"import sys; from cxr.cli.main import run; {'sys.stdout = None; ' if closed else ''}run()"
    command = [sys.executable, "-c", call, "enhance", *arguments, f"--model={without_limits()}"]
    with screen.open("w") as out:
        return subprocess.run(
            command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=out, stderr=subprocess.PIPE, text=True, check=False
        )


FULL = Path("/dev/full")
needs_a_full_disk = pytest.mark.skipif(not FULL.exists(), reason="this system has no disk that is always full")
NO_ROOM = "error: what the command prints cannot be written: No space left on device; results are there\n"


def test_a_closed_place_for_what_is_printed_is_no_mistake():
    picture(Path("a.png"))
    done = printed_to(Path(os.devnull), "a.png", "-o", "out", "--anonymise", "--pixels-checked", closed=True)
    assert (done.returncode, done.stderr, len(list(Path("out").iterdir()))) == (0, "", 1)


@needs_a_full_disk
@pytest.mark.parametrize("bits", [8, 12])
def test_a_full_place_for_what_is_printed_blames_no_radiograph(bits):
    """A line tells what came in, while the first is at work."""
    picture(Path("a.png"), bits)
    picture(Path("b.png"), bits)
    done = printed_to(FULL, "a.png", "b.png", "-o", "out")
    assert (done.returncode, done.stderr, len(list(Path("out").iterdir()))) == (1, NO_ROOM, 1)


def test_what_ails_the_reference_or_the_result_names_it(monkeypatch):
    picture(Path("a.png"))
    picture(Path("truth.png"))

    def broken(path, **_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("cxr.service.read", broken)
    with pytest.raises(OSError, match="Input") as error:
        run("a.png", "-o", "out", "--reference", "truth.png")
    assert error.value.filename == "truth.png"
    Path("taken").write_text("")
    with pytest.raises(UserError, match=r"^taken(/out)?: (Not a directory|File exists)$"):
        run("a.png", "-o", "taken/out")


@pytest.mark.parametrize("output", [".", "..", "../..", "{tmp}"])
def test_results_may_go_to_a_folder_that_holds_the_radiographs(tmp_path, output, monkeypatch):
    picture(tmp_path / "x/y/in/a.png")
    picture(tmp_path / "x/y/in/deep/b.png")
    monkeypatch.chdir(tmp_path / "x/y")
    folder = Path(output.format(tmp=tmp_path))
    for _ in range(2):
        run("in", "-o", folder)
    assert (folder / "a.png").is_file()
    assert (folder / "deep/b.png").is_file()


@pytest.mark.parametrize("arguments", ["gone", "empty", "a.png gone", "a.png --reference gone", "a.png --model gone"])
def test_a_mistyped_command_leaves_nothing(arguments):
    picture(Path("a.png"))
    Path("empty").mkdir()
    with pytest.raises(UserError):
        enhance.main([*arguments.split(), "-o", "out", "--anonymise", "--pixels-checked", "--key", "key"])
    assert sorted(path.name for path in Path().iterdir()) == ["a.png", "empty"]


@pytest.mark.parametrize("more", [[], ["--overwrite"], ["--compare"]], ids=["", "overwrite", "compare"])
def test_two_of_the_same_are_told_and_counted_once(capsys, more):
    picture(Path("a.png"))
    Path("b.png").write_bytes(Path("a.png").read_bytes())
    Path("c.png").write_bytes(Path("a.png").read_bytes() + b"more")
    run("a.png", "b.png", "c.png", "-o", "out", "--anonymise", "--pixels-checked", *more)
    said = capsys.readouterr().out
    assert "input 2 is the same image as input 1, so both have one result\n" in said
    assert "2 of 3 enhanced" in said
    assert len([path for path in Path("out").iterdir() if "compare" not in path.name]) == 2
