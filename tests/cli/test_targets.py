"""What is there already is never lost, and what is no file is never opened."""

import os
import shutil
import socket
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from cxr.cli import enhance, export, targets
from cxr.formats.note import note_in
from cxr.foundation.errors import UserError
from cxr.foundation.place import ROOT
from cxr.result import origin_of
from cxr.service import enhance_file
from cxr.superres.model import load_model
from tests.support.dicom_files import dataset, save, values

SOURCES = {"png": "a.png", "jpeg": "a.jpg", "tiff": "a.tif", "dicom": "a.dcm"}

pytestmark = pytest.mark.usefixtures("unlimited")


def run(*arguments):
    enhance.main([str(argument) for argument in arguments])


def grey(seed=0, height=16, width=12):
    return np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)


def write(path, seed=0, shape=(16, 12)):
    """Write a source of the kind that the suffix says; another `seed` makes another."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".dcm":
        save(dataset(values(), AccessionNumber=str(seed)), path)
    else:
        Image.fromarray(grey(seed, *shape)).save(path)
    return path


def pictures(folder):
    """Return the bytes of all files below `folder`."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(autouse=True)
def there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", SOURCES.values())
def test_the_same_command_on_the_same_source_may_replace_its_result(name):
    write(Path(name))
    run(name, "-o", "out")
    before = pictures(Path("out"))
    (Path("out") / name).chmod(0o644)
    run(name, "-o", "out")
    assert pictures(Path("out")).keys() == before.keys()
    if name != "a.dcm":  # which is of another date
        assert pictures(Path("out")) == before


@pytest.mark.parametrize("name", SOURCES.values())
@pytest.mark.parametrize(
    "other",
    [
        lambda name: ([name, "--scale", "3"], 0),
        lambda name: ([name, "--model", "srcnn"], 0),
        lambda name: ([name, "--bits", "8" if name != "a.dcm" else "12"], 0),
        lambda name: ([name], 1),
    ],
    ids=["scale", "model", "bits", "source"],
)
def test_the_result_of_another_command_or_source_stays(name, other):
    write(Path(name))
    run(name, "-o", "out")
    before = pictures(Path("out"))
    arguments, seed = other(name)
    write(Path(name), seed)
    with pytest.raises(
        UserError, match=f"^out/{name} is there already, and not the result of this command; --overwrite"
    ) as error:
        run(*arguments, "-o", "out")
    assert "\n" not in str(error.value)
    assert pictures(Path("out")) == before
    run(*arguments, "-o", "out", "--overwrite")
    assert pictures(Path("out")) != before


@pytest.mark.parametrize("which", ["source", "model", "bystander"])
@pytest.mark.parametrize("more", [[], ["--overwrite"], ["--anonymise", "--pixels-checked"]], ids=" ".join)
def test_a_file_named_as_one_on_its_way_stays(which, more):
    write(Path(".b.partial.png"))
    shutil.copy(ROOT / "pretrained/srcnn.safetensors", ".c.partial.png")
    Path(".d.partial.png").write_text("precious")
    before = pictures(Path())
    target = {"source": "b.png", "model": "c.png", "bystander": "d.png"}[which]
    run(".b.partial.png", "-o", target, "--model", ".c.partial.png", *more)
    assert {name: content for name, content in pictures(Path()).items() if name != target} == before


def plain(path):
    Image.fromarray(grey(7)).save(path, "PNG")


def text(path):
    path.write_text("a letter")


def dangling(path):
    path.symlink_to("nowhere")


@pytest.mark.parametrize(
    "content", [plain, text, dangling, lambda path: path.touch()], ids=["picture", "text", "link", "empty"]
)
@pytest.mark.parametrize("place", ["out/a.png", "out/a.png.compare.png"])
def test_a_file_of_the_users_own_stays(content, place):
    write(Path("a.png"))
    Path("out").mkdir()
    content(Path(place))
    before = pictures(Path("out"))
    with pytest.raises(UserError, match=f"^{place} is there already"):
        run("a.png", "-o", "out", "--compare")
    assert pictures(Path("out")) == before
    assert Path(place).is_symlink() == (content is dangling)
    run("a.png", "-o", "out", "--compare", "--overwrite")
    assert len(pictures(Path("out"))) == 2


def test_a_comparison_may_be_drawn_again():
    write(Path("a.png"))
    for _ in range(2):
        run("a.png", "-o", "out", "--compare")
    assert note_in(Path("out/a.png")) == note_in(Path("out/a.png.compare.png"))
    with pytest.raises(UserError, match=r"^out/a.png, out/a.png.compare.png are there already, and not the results of"):
        run("a.png", "-o", "out", "--compare", "--scale", "3")


def test_all_are_checked_before_the_first_is_written():
    for number in range(15):
        write(Path(f"in/{number:02}.png"))
    for number in (3, *range(4, 15)):
        write(Path(f"out/{number:02}.png"), 9)
    before = pictures(Path("out"))
    with pytest.raises(
        UserError, match=r"^out/03.png, .*out/12.png and 2 more are there already, and not the results"
    ) as error:
        run("in", "-o", "out")
    assert "\n" not in str(error.value)
    assert pictures(Path("out")) == before


def test_a_batch_that_was_stopped_goes_on():
    for number in range(3):
        write(Path(f"in/{number}.png"), number)
    run("in/0.png", "-o", "out")
    run("in", "-o", "out")
    assert len(pictures(Path("out"))) == 3


@pytest.mark.parametrize("link", ["hard", "symbolic", "folder"])
@pytest.mark.parametrize("which", ["source", "another", "reference", "model"])
def test_what_is_read_is_never_written_by_any_name(link, which):
    sources = [write(Path("in/a.png"), 1), write(Path("in/b.png"), 2)]
    reference = write(Path("truth/a.png"), 3, (32, 24))
    model = Path("models/a.png")
    model.parent.mkdir()
    shutil.copy(ROOT / "pretrained/srcnn.safetensors", model)
    kept = {"source": sources[0], "another": sources[1], "reference": reference, "model": model}[which]
    out = Path("out")
    if link == "folder" and which != "another":
        out.symlink_to(kept.parent)
    else:
        out.mkdir()
        name = out / "a.png"
        name.hardlink_to(kept) if link == "hard" else name.symlink_to(kept.absolute())
    given = [*sources] if which == "another" else [sources[0]]
    more = {"reference": ["--reference", reference], "model": ["--model", model]}.get(which, [])
    before = pictures(Path())
    with pytest.raises(UserError, match=f"^{kept} would be overwritten; name another output$"):
        run(*given, "-o", out, *more, "--overwrite")
    assert pictures(Path()) == before


def test_a_result_never_meets_the_comparison_of_another():
    write(Path("in/a.png"))
    write(Path("in/a.png.compare.png"), 1)
    run("in", "-o", "out")
    with pytest.raises(
        UserError, match=r"a.png and in/a.png.compare.png would both become more/a.png.compare.png; give them one"
    ):
        run("in", "-o", "more", "--compare")
    assert not Path("more").exists()


@pytest.mark.parametrize(("key", "output"), [("k.dcm", "k.dcm"), ("b.dcm.compare.png", "b.dcm"), ("k", "link.dcm")])
def test_the_key_is_never_overwritten(key, output):
    write(Path("a.dcm"))
    Path("link.dcm").symlink_to("k")
    for _ in range(2):  # a new key, and one that is there
        with pytest.raises(UserError, match=f"^{key} would be overwritten; name another output$"):
            run("a.dcm", "-o", output, "--key", key, "--anonymise", "--pixels-checked", "--compare", "--overwrite")
        assert len(bytes.fromhex(Path(key).read_text().strip())) == 32


@pytest.mark.parametrize("name", SOURCES.values())
@pytest.mark.parametrize("content", [lambda path: path.write_text("a letter"), lambda path: path.symlink_to("nowhere")])
def test_a_file_in_the_place_of_a_comparison_stays_when_a_key_names_it(name, content):
    write(Path(name))
    given = (name, "-o", "out", "--anonymise", "--pixels-checked", "--key", "key", "--compare")
    run(*given)
    (picture,) = Path("out").glob("*.compare.png")
    result = picture.with_name(picture.name.removesuffix(".compare.png"))
    for path in (picture, result):
        path.unlink()
    content(picture)
    with pytest.raises(UserError, match=r"^out/\w.*\.compare\.png is there already, and not the result of this"):
        run(*given)
    assert picture.is_symlink() or picture.read_text() == "a letter"
    assert not result.exists()
    run(*given, "--overwrite")
    run(*given)
    assert note_in(picture) == note_in(result)


def test_results_never_meet_by_way_of_a_link():
    write(Path("in/x/a.png"))
    write(Path("in/y/a.png"), 1)
    Path("out/x").mkdir(parents=True)
    Path("out/y").symlink_to("x")
    with pytest.raises(UserError, match=r"x/a.png and in/y/a.png would both become out/y/a.png"):
        run("in", "-o", "out")
    assert not list(Path("out/x").iterdir())


def test_results_never_meet_by_case_on_a_disk_that_ignores_it(monkeypatch):
    write(Path("in/a.png"))
    write(Path("in/A.PNG"), 1)
    if targets.ignores_case(Path("out")):
        return  # and could never both be there
    run("in", "-o", "out")
    monkeypatch.setattr(targets, "ignores_case", lambda folder: True)
    with pytest.raises(UserError, match=r"A.PNG and in/a.png would both become more/a.png"):
        run("in", "-o", "more")


def test_a_disk_that_ignores_case_is_told_by_its_folder(monkeypatch):
    folder = Path("Results").absolute()
    folder.mkdir()
    assert not targets.ignores_case(folder / "deeper/still") or folder.with_name("rESULTS").exists()
    folder.with_name("rESULTS").symlink_to(folder)  # as such a disk would answer
    assert targets.ignores_case(folder / "deeper/still")


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("small.png", r"small.png has \(16, 12\) rows and columns, the result \(32, 24\); give one of equal size"),
        ("missing.png", "^missing.png is no file; name a reference$"),
        ("broken.png", "^broken.png: "),
        ("folder", "^folder is no file; name a reference$"),
    ],
)
@pytest.mark.parametrize("source", ["a.png", "a.dcm"])
def test_the_reference_is_read_and_measured_before_anything_is_written(reference, reason, source):
    write(Path(source))
    if source == "a.dcm":
        reason = reason.replace("(32, 24", "(36, 28")
    write(Path("small.png"))
    Path("broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    Path("folder").mkdir()
    with pytest.raises(UserError, match=reason):
        run(source, "-o", "out", "--reference", reference, "--compare")
    assert not Path("out").exists()


def test_the_call_from_python_keeps_what_is_there_too():
    source, target, model = write(Path("a.png")), Path("out.png"), load_model("srcnn")
    enhance_file(source, target, model)
    assert note_in(target).endswith(origin_of(source, model, 2))
    enhance_file(source, target, model)
    with pytest.raises(UserError, match=r"^out.png is there already, and not the result of this"):
        enhance_file(source, target, model, 3)
    for more in ({}, {"overwrite": True}):
        with pytest.raises(UserError, match=r"^truth.png would be overwritten"):
            enhance_file(source, write(Path("truth.png"), 3, (32, 24)), model, reference=Path("truth.png"), **more)
    enhance_file(source, target, model, 3, overwrite=True)
    assert Image.open(target).size == (36, 48)


def test_the_call_from_python_never_overwrites_the_model():
    model = load_model("srcnn")
    shutil.copy(model.path, "model.safetensors")
    before = Path("model.safetensors").read_bytes()
    with pytest.raises(UserError, match=r"^model.safetensors would be overwritten; name another output$"):
        enhance_file(write(Path("a.png")), Path("model.safetensors"), load_model("model.safetensors"), overwrite=True)
    assert Path("model.safetensors").read_bytes() == before


def test_the_note_holds_no_name_date_or_path():
    for name in SOURCES.values():
        write(Path(name))
        renamed = shutil.copy(name, f"Geheim{Path(name).suffix}")
        model = load_model("srcnn")
        assert origin_of(Path(name), model, 2) == origin_of(Path(renamed), model, 2)
        enhance_file(Path(renamed), Path("out") / name, model)
        assert b"Geheim" not in (Path("out") / name).read_bytes()
    assert "Made from" in dcmread("out/a.dcm").DerivationDescription


def special(kind):
    path = Path({"device": "/dev/zero"}.get(kind, f"{kind}.png"))
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        socket.socket(socket.AF_UNIX).bind(str(path))
    return path


COMMANDS = {
    "input": "enhance SPECIAL -o out",
    "further input": "enhance a.png SPECIAL -o out",
    "output": "enhance a.png -o SPECIAL",
    "output, come what may": "enhance a.png -o SPECIAL --overwrite",
    "reference": "enhance a.png -o out --reference SPECIAL",
    "model": "enhance a.png -o out --model SPECIAL",
    "model to export": "export SPECIAL -o out",
    "export": "export srcnn -o SPECIAL",
    "export, come what may": "export srcnn -o SPECIAL --overwrite",
}


@pytest.mark.parametrize("kind", ["pipe", "socket", "device"])
def test_what_is_no_file_is_never_opened(kind):
    """All in one process, which a pipe that is opened stops."""
    path = special(kind)
    write(Path("a.png"))
    call = (
        "import sys; from cxr.cli import main; from cxr.foundation.errors import UserError\n"
        "for line in sys.argv[1:]:\n"
        "    sys.argv = ['cxr', *line.split()]\n"
        "    try: main.run()\n"
        "    except SystemExit as ended: print(ended.code)\n"
    )
    lines = [command.replace("SPECIAL", str(path)) for command in COMMANDS.values()]
    done = subprocess.run(
        [sys.executable, "-c", call, *lines], env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.stdout.splitlines() == [f"error: {path} is a {kind}; name a file"] * len(lines), done.stderr
    assert stat.S_IFMT(path.stat().st_mode) in {stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR}
    assert not Path("out").exists()


def test_what_is_no_file_within_a_folder_is_passed_by(capsys):
    write(Path("in/a.png"))
    os.mkfifo("in/b.png")
    run("in", "-o", "out")
    assert "1 file skipped: 1 broken links or no files" in capsys.readouterr().out


def test_a_folder_or_a_file_in_the_way_is_told():
    write(Path("a.png"))
    Path("out/a.png").mkdir(parents=True)
    for more in ([], ["--overwrite"]):
        with pytest.raises(UserError, match=r"^out/a.png is a folder; name another output"):
            run("a.png", "-o", "out", *more)
    Path("results").touch()
    with pytest.raises(UserError, match=r"^results is a file; name a folder, or a file that ends in .jpg"):
        run("a.png", "-o", "results")


def test_an_export_keeps_what_is_there():
    for _ in range(2):
        export.main(["srcnn", "-o", "network.onnx"])
    before = Path("network.onnx").read_bytes()
    with pytest.raises(UserError, match=r"^network.onnx is there already, and not this network; --overwrite replaces it"):
        export.main(["srcnn", "-o", "network.onnx", "--scale", "3"])
    assert Path("network.onnx").read_bytes() == before
    export.main(["srcnn", "-o", "network.onnx", "--scale", "3", "--overwrite"])
    assert Path("network.onnx").read_bytes() != before


@pytest.mark.parametrize("link", ["itself", "hard", "symbolic"])
def test_an_export_never_overwrites_its_model(link):
    shutil.copy(ROOT / "pretrained/srcnn.safetensors", "model")
    before = Path("model").read_bytes()
    target = Path("model" if link == "itself" else "other")
    if link != "itself":
        target.hardlink_to("model") if link == "hard" else target.symlink_to("model")
    with pytest.raises(UserError, match=r"^model would be overwritten; name another output"):
        export.main(["model", "-o", str(target), "--overwrite"])
    assert Path("model").read_bytes() == before


@pytest.mark.parametrize(("shared", "file"), [(False, 0o600), (True, 0o664)])
def test_who_may_read_what_is_written(shared, file):
    """Its owner alone, over a file that all could read too; in a folder that is shared on purpose, whom the umask lets."""
    for name in SOURCES.values():
        write(Path("in") / name)
    Path("out").mkdir(mode=0o755)
    Path("out").chmod(0o2775 if shared else 0o755)
    before = os.umask(0o002)
    try:
        for _ in range(2):
            run("in", "-o", "out", "--compare")
            found = {path.name: stat.S_IMODE(path.stat().st_mode) for path in Path("out").iterdir()}
            assert found == {name + more: file for name in SOURCES.values() for more in ("", ".compare.png")}
            Path("out/a.png").chmod(0o644)
        run("in", "-o", "new")
    finally:
        assert os.umask(before) == 0o002
    assert stat.S_IMODE(Path("new").stat().st_mode) == 0o700
