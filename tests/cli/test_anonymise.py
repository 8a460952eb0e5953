"""`cxr enhance --anonymise`: what leaves the house carries no name, in no file, name, picture or message."""

import re
import sys

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, dcmread

from cxr.cli import enhance
from cxr.figures import panels
from cxr.foundation.errors import UserError
from tests.support.dicom_files import dataset, save, values

pytestmark = pytest.mark.usefixtures("unlimited")

NAME = "GEHEIM"


def run(*arguments):
    enhance.main([str(argument) for argument in arguments])


@pytest.fixture
def archive(tmp_path):
    """Return a folder named after a patient that holds two DICOM images of one study and a picture."""
    folder = tmp_path / f"{NAME} ward" / NAME
    folder.mkdir(parents=True)
    for number, instance in (("1", "1.2.3.4"), ("2", "1.2.3.9")):
        data = dataset(values(), BurnedInAnnotation="NO", SOPInstanceUID=instance, PatientName=NAME, DerivationDescription=NAME)
        save(data, folder / f"{NAME}{number}.dcm")
    Image.fromarray(np.arange(600, dtype=np.uint8).reshape(20, 30)).save(folder / f"{NAME}.png", dpi=(72, 72))
    return folder.parent


def everything(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("terminal", [False, True])
def test_no_name_is_left_anywhere_but_in_the_line_for_the_users_eyes(archive, tmp_path, monkeypatch, capsys, terminal):
    titles = []
    drawn = panels.comparison
    monkeypatch.setattr("cxr.result.comparison", lambda *given: titles.append(given[-1]) or drawn(*given))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    run(archive, "-o", tmp_path / "out", "--model", "srcnn", "--anonymise", "--pixels-checked", "--compare")
    said = capsys.readouterr()
    made = everything(tmp_path / "out")
    assert len([name for name in made if name.endswith(".dcm")]) == 2
    assert not [name for name, content in made.items() if NAME in name or NAME.encode() in content]
    assert len(titles) == 3
    assert not any(NAME in title for title in titles)
    named = [line for line in (said.out + said.err).splitlines() if NAME in line]
    if terminal:
        assert [re.sub(r"was .*, became", "became", line).partition(" became ")[0] for line in named] == [
            f"input {n}" for n in "123"
        ]
    else:
        assert not named
    assert "De-identified header, elements: " in said.out


@pytest.mark.parametrize("name", [f"scan.{NAME}", f"1.{NAME}.PNG", "scan.dcm", "scan.jpe", "scan"])
@pytest.mark.parametrize(("kind", "suffix"), [("JPEG", ".jpg"), ("PNG", ".png"), ("TIFF", ".tif")])
def test_a_result_is_named_by_its_content_alone(tmp_path, name, kind, suffix):
    Image.fromarray(np.arange(600, dtype=np.uint8).reshape(20, 30)).save(tmp_path / name, kind)
    run(tmp_path / name, "-o", tmp_path / "out", "--model", "srcnn", "--anonymise", "--pixels-checked", "--compare")
    made = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert [re.sub("^[0-9a-f]{32}", "", each) for each in made] == [suffix, f"{suffix}.compare.png"]
    with Image.open(tmp_path / "out" / made[0]) as result:
        assert result.format == kind


def test_a_bmp_is_no_result_and_tells_no_name(tmp_path):
    Image.fromarray(np.arange(600, dtype=np.uint8).reshape(20, 30)).save(tmp_path / f"{NAME}.{NAME}", "BMP")
    with pytest.raises(UserError, match=r"cannot be written as BMP, .*; name a result that ends in .jpg") as error:
        run(tmp_path / f"{NAME}.{NAME}", "-o", tmp_path / "out", "--model", "srcnn", "--anonymise", "--pixels-checked")
    assert NAME.lower() not in str(error.value).lower()


def test_without_a_look_at_the_picture_it_is_refused_by_number(archive, tmp_path, capsys):
    with pytest.raises(UserError) as error:
        run(archive, "-o", tmp_path / "out", "--model", "srcnn", "--anonymise")
    said = capsys.readouterr()
    assert NAME not in str(error.value) + said.out + said.err
    assert re.search(
        r"input \d: a picture may show the patient's name; look at it, and give --pixels-checked", str(error.value)
    )
    assert len(everything(tmp_path / "out")) == 2


def test_results_are_named_by_their_new_uids_which_a_key_makes_again(archive, tmp_path):
    key = tmp_path / "key"
    for out in ("a", "b", "c"):
        more = ["--key", key] if out != "c" else []
        run(*archive.rglob("*.dcm"), "-o", tmp_path / out, "--model", "srcnn", "--anonymise", *more)
    made = {out: everything(tmp_path / out) for out in ("a", "b", "c")}
    assert made["a"] == made["b"]
    assert not set(made["a"]) & set(made["c"])
    data = [dcmread(tmp_path / "a" / name) for name in made["a"]]
    assert [f"{image.SOPInstanceUID}.dcm" for image in data] == list(made["a"])
    assert len({image.StudyInstanceUID for image in data}) == 1


def test_a_damaged_file_is_told_by_its_number(tmp_path, capsys):
    data = dataset(values(), BurnedInAnnotation="NO", PatientName=NAME)
    data.Rows = 1000
    save(data, tmp_path / f"{NAME}.dcm")
    with pytest.raises(UserError) as error:
        run(tmp_path / f"{NAME}.dcm", "-o", tmp_path / "out", "--model", "srcnn", "--anonymise")
    said = capsys.readouterr()
    assert NAME not in str(error.value) + said.out + said.err
    assert str(error.value).startswith("input 1: ")


def test_the_counts_are_those_of_the_file(tmp_path, capsys):
    save(dataset(values(), BurnedInAnnotation="NO"), tmp_path / "in.dcm")
    run(tmp_path / "in.dcm", "-o", tmp_path / "out", "--model", "srcnn", "--anonymise")
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("De-identified header")]
    found = {
        what: int(count) for count, what in re.findall(r"(\d+) (removed|emptied|replaced by a dummy|UIDs replaced|kept)", line)
    }
    # Removed: institution and series description. Emptied: study date, accession number, date of birth. Replaced by what
    # stands for the patient: name and number. UIDs: study, series, instance.
    assert (found["removed"], found["emptied"], found["replaced by a dummy"], found["UIDs replaced"]) == (2, 3, 2, 3)
    assert sum(found.values()) == len(dataset(values(), BurnedInAnnotation="NO")) - 1  # all but the pixels


def coded(value, meaning, scheme="SCT"):
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def test_what_is_in_sequences_is_counted_too_and_of_two_equal_images_once(tmp_path, capsys):
    known, private = coded("51185008", f"{NAME} chest"), Dataset()
    private.PatientName, private.ReferencedSeriesSequence = NAME, [coded("1", NAME)]
    data = dataset(values(), BurnedInAnnotation="NO", AnatomicRegionSequence=[known])
    data.ProcedureCodeSequence = [coded("1", NAME, NAME)]
    data.OtherPatientIDsSequence = [private, private]
    every = list(data.iterall())
    for name in ("a", "b"):
        save(data, tmp_path / f"{name}.dcm")
    run(tmp_path / "a.dcm", tmp_path / "b.dcm", "-o", tmp_path / "out", "--model", "srcnn", "--anonymise")
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("De-identified header")]
    found = {what: int(count) for count, what in re.findall(r"(\d+) ([A-Za-z ]+)", line.partition(".")[0])}
    # Removed, beside two elements: the unknown code with its sequence, and the patient's other numbers. Replaced, beside two
    # elements: what a code means.
    assert (found["removed"], found["replaced by a dummy"]) == (2 + 4 + 11, 3)
    assert sum(found.values()) == len(every) - 1
