"""What becomes of a folder of files: one packed array, a table that says where each image lies, and what is set aside."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cxr.dataset import packed
from cxr.dataset import prepare as prepare_module
from cxr.dataset.pack import COLUMNS, pack
from cxr.dataset.prepare import digest, prepare
from cxr.dataset.settings import Preprocess
from cxr.formats.read import Decoded
from cxr.foundation.errors import UserError
from stages import preprocess as stage
from tests.support.raw import table_of

SETTINGS = Preprocess("whole", 16, "none", 100, 0.5, 0)


def radiograph(seed, side=20, width=None, bits=8):
    kind = np.uint8 if bits == 8 else np.uint16
    return np.random.default_rng(seed).integers(0, 1 << bits, (side, width or side + 4)).astype(kind)


def fill(raw):
    """Write seven usable files (two patients with two images each) and one of each other kind."""
    for folder in ("NORMAL", "PNEUMONIA"):
        (raw / folder).mkdir(parents=True)
    names = [
        *[f"PNEUMONIA/person{n}_virus_{n}{i}.png" for n in (1, 2) for i in (1, 2)],
        *[f"NORMAL/IM-000{n}-0001.png" for n in (1, 2, 3)],
    ]
    for seed, name in enumerate(names):
        Image.fromarray(radiograph(seed, width=20 + 3 * seed)).save(raw / name)
    Image.fromarray(radiograph(0, width=20)).save(raw / "PNEUMONIA/person9_virus_9.tif")  # the pixels of person1_virus_11
    Image.fromarray(radiograph(8, side=10)).save(raw / "NORMAL/small.png")
    (raw / "NORMAL/broken.jpeg").write_bytes(b"\xff\xd8\xff")
    Image.new("L", (20, 20), 9).save(raw / "PNEUMONIA/blank.bmp")
    return table_of(raw)


def several(raw, pictures, **columns):
    """Write `pictures`, arrays by FINDING/NAME, as PNGs and their table with `columns` of it by file."""
    for name, pixels in pictures.items():
        (raw / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(raw / name)
    return table_of(raw, **columns)


def read_back(pixels, table):
    """Return the images that the flat array in the file `pixels` holds by what the table says, read by NumPy alone."""
    flat = np.load(pixels, mmap_mode="r")
    places = table[["begin", "rows", "columns"]].itertuples(index=False)
    found = [flat[begin : begin + rows * columns].reshape(rows, columns) for begin, rows, columns in places]
    assert sum(image.size for image in found) == len(flat)
    return found


def counts(total, **by_finding):
    return {"all": total, **by_finding}


def test_pack_writes_the_usable_and_tells_what_became_of_the_rest(tmp_path):
    packed = pack(fill(tmp_path / "raw"), tmp_path / "data/pixels.npy", SETTINGS, 1)
    assert packed.table.columns.tolist() == list(COLUMNS)
    assert packed.table["source"].tolist() == sorted(packed.table["source"])
    assert packed.table["begin"].tolist() == np.cumsum([0, *packed.table["rows"] * packed.table["columns"]])[:-1].tolist()
    images = read_back(tmp_path / "data/pixels.npy", packed.table)
    assert len(images) == 7
    for row, image in zip(packed.table.to_dict("records"), images, strict=True):
        pixels = np.asarray(Image.open(tmp_path / "raw" / row["source"]))
        assert image.dtype == np.uint8
        np.testing.assert_array_equal(image, prepare(pixels, 8, SETTINGS))
        assert row["sha256"] == digest(pixels)
        assert row["id"] == row["sha256"][:12]
        assert (row["native_rows"], row["native_columns"], row["bits"]) == (*pixels.shape, 8)
        assert row["findings"] == row["source"].split("/")[0]
    assert packed.table["patient"].tolist() == ["IM-0001", "IM-0002", "IM-0003", *["person1"] * 2, *["person2"] * 2]
    rejected = packed.rejected.set_index("file")
    assert rejected["kind"].to_dict() == {
        "NORMAL/broken.jpeg": "damaged",
        "NORMAL/small.png": "too small",
        "PNEUMONIA/blank.bmp": "damaged",
        "PNEUMONIA/person9_virus_9.tif": "duplicate",
    }
    assert rejected.loc["PNEUMONIA/person9_virus_9.tif", "reason"] == "the same pixels as PNEUMONIA/person1_virus_11.png"
    assert "blank" in rejected.loc["PNEUMONIA/blank.bmp", "reason"]
    assert packed.counts == {
        "found": counts(11, NORMAL=5, PNEUMONIA=6),
        "used": counts(7, NORMAL=3, PNEUMONIA=4),
        "left_out": counts(0, NORMAL=0, PNEUMONIA=0),
        "damaged": counts(2, NORMAL=1, PNEUMONIA=1),
        "too_small": counts(1, NORMAL=1, PNEUMONIA=0),
        "duplicate": counts(1, NORMAL=0, PNEUMONIA=1),
        "no_radiograph": counts(0, NORMAL=0, PNEUMONIA=0),
        "external_patient": counts(0, NORMAL=0, PNEUMONIA=0),
    }
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["pixels.npy"]


def test_only_what_the_table_lists_is_read_and_it_says_what_it_is_called(tmp_path):
    pictures = {f"NORMAL/IM-000{n}-0001.png": radiograph(n) for n in range(4)}
    names = {"name": {"NORMAL/IM-0001-0001.png": "p00001-0001"}, "patient": {"NORMAL/IM-0002-0001.png": ""}}
    raw = several(tmp_path / "raw", pictures, **names)
    Image.fromarray(radiograph(9)).save(raw / "NORMAL/later.png")
    table = pack(raw, tmp_path / "pixels.npy", SETTINGS, 1).table
    assert len(table) == 4
    assert table["source"][1] == "p00001-0001"
    assert table["patient"][2] == table["id"][2]  # of whom nothing is known counts as a patient of his own
    assert table["patient"][3] == "IM-0003"


def with_bits(monkeypatch, bits, remarks=()):
    """Let files be as deep as `bits` says by the name's beginning, whatever the reader would find."""

    def read(path):
        return Decoded(np.asarray(Image.open(path)), bits[path.name.split("-")[0]], tuple(remarks))

    monkeypatch.setattr(prepare_module, "read", read)


@pytest.mark.parametrize("frame", ["whole", "square"])
@pytest.mark.parametrize("deepest", [8, 10, 12, 16])
def test_images_of_several_shapes_and_depths_are_read_back_as_they_were(tmp_path, monkeypatch, deepest, frame):
    bits = {"shallow": 8, "deep": deepest}
    shapes = [(16, 16), (20, 30), (47, 16), (33, 40)]
    pictures = {
        f"NORMAL/{kind}-{number}.png": radiograph(number, *shape, bits=bits[kind])
        for number, (kind, shape) in enumerate(zip(["deep", "shallow"] * 2, shapes, strict=True))
    }
    with_bits(monkeypatch, bits)
    raw = several(tmp_path / "raw", pictures)
    settings = Preprocess(frame, 16, "none", 100, 0.5, 0)
    table = pack(raw, tmp_path / "pixels.npy", settings, 1).table
    table.to_csv(tmp_path / "images.csv", index=False)
    table.assign(split="test")[["id", "split"]].to_csv(tmp_path / "split.csv", index=False)
    images = packed.load(tmp_path / "pixels.npy", tmp_path / "images.csv", tmp_path / "split.csv").images
    assert isinstance(images.pixels, np.memmap)
    assert images.pixels.dtype == (np.uint8 if deepest == 8 else np.uint16)
    wanted = {name: prepare(pixels, bits[name[7:].split("-")[0]], settings) for name, pixels in pictures.items()}
    for source, image in zip(table["source"], images, strict=True):
        np.testing.assert_array_equal(image.pixels, wanted[source])
        assert image.bits == bits[source[7:].split("-")[0]]
        assert image.white == 2**image.bits - 1
    for image, again in zip(read_back(tmp_path / "pixels.npy", table), images, strict=True):
        np.testing.assert_array_equal(image, again.pixels)


def test_what_is_to_be_told_of_a_file_is_told_with_its_name(tmp_path, monkeypatch):
    with_bits(monkeypatch, {"a": 8}, ["several pages, of which the first is taken"])
    raw = several(tmp_path / "raw", {"NORMAL/a-1.png": radiograph(1)})
    remarks = pack(raw, tmp_path / "pixels.npy", SETTINGS, 1).remarks
    assert remarks == [("NORMAL/a-1.png", "several pages, of which the first is taken")]


PEOPLE = {f"{finding}/person{n}_virus_{n}{i}.png": (n, i) for n, finding in ((1, "A"), (2, "B"), (3, "B")) for i in range(2)}


def with_an_external_patient(raw):
    """Write the files of PEOPLE: of person2 one is external, and the other is wanted for training."""
    external, other = "B/person2_virus_20.png", "B/person2_virus_21.png"
    wishes = {external: "external", other: "train", "A/person1_virus_10.png": "val"}
    pictures = {name: radiograph(10 * n + i) for name, (n, i) in PEOPLE.items()}
    return several(raw, pictures, split=wishes, findings={other: "NODULE|B"})


def test_the_other_images_of_an_external_patient_are_set_aside(tmp_path):
    packed = pack(with_an_external_patient(tmp_path / "raw"), tmp_path / "pixels.npy", SETTINGS, 1)
    assert packed.rejected.to_dict("records") == [
        {
            "file": "B/person2_virus_21.png",
            "findings": "NODULE|B",
            "kind": "external patient",
            "reason": "other images of this patient are external",
        }
    ]
    assert packed.counts["external_patient"] == counts(1, A=0, B=1, NODULE=1)
    assert packed.table["split_wish"].tolist() == ["val", "", "external", "", ""]
    assert (packed.table["patient"] == "person2").tolist() == [False, False, True, False, False]


def test_a_file_whose_name_is_not_told_has_a_mask_whose_name_is_not_told(tmp_path):
    pictures = {"A/mueller.png": radiograph(0), "A/open.png": radiograph(1)}
    masks = {"A/mueller.png": "A/mueller_mask.png", "A/open.png": "A/open_mask.png"}
    raw = several(tmp_path / "raw", pictures, name={"A/mueller.png": "p00001-0001"}, mask=masks)
    packed = pack(raw, tmp_path / "pixels.npy", SETTINGS, 1)
    assert packed.table["source"].tolist() == ["p00001-0001", "A/open.png"]
    assert packed.table["mask"].tolist() == ["p00001-0001-mask", "A/open_mask.png"]
    assert "mueller" not in packed.table.to_csv()


def test_an_unknown_patients_external_image_says_nothing_of_other_unknown_patients(tmp_path):
    pictures = {f"A/{name}.png": radiograph(seed) for seed, name in enumerate("abc")}
    raw = several(tmp_path / "raw", pictures, split={"A/a.png": "external"}, patient=dict.fromkeys(pictures, ""))
    packed = pack(raw, tmp_path / "pixels.npy", SETTINGS, 1)
    assert packed.rejected.empty
    assert packed.table["patient"].tolist() == packed.table["id"].tolist()


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_external_images_are_kept_whatever_the_limit(tmp_path, limit):
    pictures = {f"A/person{n}_virus_{n}.png": radiograph(n) for n in range(8)}
    outside = {f"A/person{n}_virus_{n}.png": "external" for n in range(4, 8)}
    raw = several(tmp_path / "raw", pictures, split=outside)
    packed = pack(raw, tmp_path / "pixels.npy", Preprocess("whole", 16, "none", limit, 0.5, 0), 1)
    assert (packed.table["split_wish"] == "external").sum() == 4
    assert (packed.table["split_wish"] == "").sum() == limit
    assert packed.counts["left_out"] == counts(4 - limit, A=4 - limit)
    for row, image in zip(packed.table["source"], read_back(tmp_path / "pixels.npy", packed.table), strict=True):
        np.testing.assert_array_equal(image, prepare(pictures[row], 8, SETTINGS))


def test_an_image_with_several_findings_counts_for_each_and_once_among_all(tmp_path):
    pictures = {f"X/{name}.png": radiograph(seed) for seed, name in enumerate("abcd")}
    findings = {"X/a.png": "NODULE|PNEUMONIA", "X/b.png": "PNEUMONIA", "X/c.png": "", "X/d.png": "COVID"}
    packed = pack(several(tmp_path / "raw", pictures, findings=findings), tmp_path / "pixels.npy", SETTINGS, 1)
    assert packed.counts["found"] == counts(4, COVID=1, NODULE=1, PNEUMONIA=2, unknown=1)
    assert packed.table["findings"].tolist() == ["NODULE|PNEUMONIA", "PNEUMONIA", "", "COVID"]
    assert {name: of["images"] for name, of in packed.natives.items()} == packed.counts["used"]


def test_native_sizes_and_shapes_are_told_by_finding(tmp_path, monkeypatch):
    shapes = np.random.default_rng(1).integers(20, 60, (9, 2))
    kinds = ["a", "b", "b"] * 3
    pictures = {f"X/{kinds[i]}-{i}.png": radiograph(i, *shape, bits=8) for i, shape in enumerate(shapes.tolist())}
    findings = {f"X/{kinds[i]}-{i}.png": "NODULE|PNEUMONIA" if i < 3 else "PNEUMONIA" for i in range(9)}
    with_bits(monkeypatch, {"a": 8, "b": 8})
    found = pack(several(tmp_path / "raw", pictures, findings=findings), tmp_path / "pixels.npy", SETTINGS, 1).natives
    assert list(found) == ["all", "NODULE", "PNEUMONIA"]
    for name, of in (("all", shapes), ("PNEUMONIA", shapes), ("NODULE", shapes[:3])):
        ratios = np.sort(of[:, 1] / of[:, 0])
        by_hand = np.interp(np.array([0.05, 0.5, 0.95]) * (len(of) - 1), np.arange(len(of)), ratios)
        assert found[name] == {
            "images": len(of),
            "median_rows": np.sort(of[:, 0])[len(of) // 2],
            "median_columns": np.sort(of[:, 1])[len(of) // 2],
            "width_over_height": dict(zip(("p5", "median", "p95"), by_hand.round(3).tolist(), strict=True)),
            "bits": {"8": len(of)},
        }


def test_depths_are_counted_by_finding(tmp_path, monkeypatch):
    with_bits(monkeypatch, {"a": 8, "b": 12})
    pictures = {"X/a-1.png": radiograph(1), "X/b-1.png": radiograph(2, bits=12), "Y/b-2.png": radiograph(3, bits=12)}
    found = pack(several(tmp_path / "raw", pictures), tmp_path / "pixels.npy", SETTINGS, 1).natives
    wanted = {"all": {"8": 1, "12": 2}, "X": {"8": 1, "12": 1}, "Y": {"12": 1}}
    assert {name: of["bits"] for name, of in found.items()} == wanted


@pytest.mark.parametrize("frame", ["whole", "square"])
def test_boxes_and_spacing_are_those_of_the_packed_image(tmp_path, frame):
    box = "NODULE 0.5 0.25 0.125 0.5"
    table = {"boxes": {"X/a.png": box}, "spacing": {"X/a.png": "0.15"}, "age": {"X/a.png": "61"}, "view": {"X/a.png": "PA"}}
    raw = several(tmp_path / "raw", {"X/a.png": radiograph(0, 40, 80), "X/b.png": radiograph(1, 80, 40)}, **table)
    first, second = pack(raw, tmp_path / "pixels.npy", Preprocess(frame, 16, "none", 9, 0.5, 0), 1).table.to_dict("records")
    assert float(first["spacing"]) == pytest.approx(0.15 * 40 / 16)  # 40 rows became 16
    assert first["boxes"] == (box if frame == "whole" else "NODULE 0.5 0.25 0.25 0.5")
    assert (first["age"], first["view"], first["sex"], first["mask"]) == ("61", "PA", "", "")
    assert (second["spacing"], second["boxes"]) == ("", "")
    assert (first["rows"], first["columns"]) == (16, 32 if frame == "whole" else 16)
    assert (second["rows"], second["columns"]) == (32 if frame == "whole" else 16, 16)


def test_the_number_of_processes_changes_no_byte(tmp_path):
    raw = fill(tmp_path / "raw")
    one = pack(raw, tmp_path / "one.npy", SETTINGS, 1)
    two = pack(raw, tmp_path / "two.npy", SETTINGS, 2)
    assert (tmp_path / "one.npy").read_bytes() == (tmp_path / "two.npy").read_bytes()
    pd.testing.assert_frame_equal(one.table, two.table)
    pd.testing.assert_frame_equal(one.rejected, two.rejected)
    assert (one.counts, one.natives, one.remarks) == (two.counts, two.natives, two.remarks)


def test_the_limit_leaves_out_whole_patients(tmp_path):
    settings = Preprocess("whole", 16, "none", 4, 0.5, 0)
    packed = pack(fill(tmp_path / "raw"), tmp_path / "pixels.npy", settings, 1)
    assert packed.counts["used"] == counts(4, NORMAL=2, PNEUMONIA=2)
    assert packed.counts["left_out"] == counts(3, NORMAL=1, PNEUMONIA=2)
    assert packed.table[packed.table["findings"] == "PNEUMONIA"]["patient"].nunique() == 1
    for row, image in zip(packed.table["source"], read_back(tmp_path / "pixels.npy", packed.table), strict=True):
        np.testing.assert_array_equal(image, prepare(np.asarray(Image.open(tmp_path / "raw" / row)), 8, SETTINGS))


def test_a_limit_below_every_patient_is_told(tmp_path):
    raw = several(tmp_path / "raw", {name: radiograph(10 * n + i) for name, (n, i) in PEOPLE.items()})
    with pytest.raises(UserError, match=r"preprocess\.limit 1 is less than the images of any patient; raise it"):
        pack(raw, tmp_path / "data/pixels.npy", Preprocess("whole", 16, "none", 1, 0.5, 0), 1)
    assert not list((tmp_path / "data").iterdir())


def test_too_many_damaged_files_are_told_with_share_limit_and_first_reason(tmp_path):
    settings = Preprocess("whole", 16, "none", 4, 0.1, 0)
    with pytest.raises(
        UserError,
        match=r"2 of 11 files \(18\.2%\) are damaged, more than preprocess\.max_damaged 0\.1 allows; "
        r"the first is NORMAL/broken\.jpeg: \S",
    ) as error:
        pack(fill(tmp_path / "raw"), tmp_path / "data/pixels.npy", settings, 1)
    assert "\n" not in str(error.value)
    assert not list((tmp_path / "data").iterdir())


def test_max_damaged_is_the_greatest_share_allowed(tmp_path):
    raw = several(tmp_path / "raw", {f"{name}/x.png": radiograph(ord(name)) for name in "abc"})
    (raw / "a/y.png").touch()
    table_of(raw)
    at = Preprocess("whole", 16, "none", 4, 0.25, 0)
    assert len(pack(raw, tmp_path / "pixels.npy", at, 1).table) == 3
    below = Preprocess("whole", 16, "none", 4, 0.249, 0)
    with pytest.raises(UserError, match="1 of 4 files"):
        pack(raw, tmp_path / "pixels.npy", below, 1)


def test_nothing_usable_is_told_with_kinds_and_first_reason(tmp_path):
    (tmp_path / "raw/A").mkdir(parents=True)
    with pytest.raises(UserError, match="no images in it"):
        pack(table_of(tmp_path / "raw"), tmp_path / "pixels.npy", SETTINGS, 1)
    raw = several(tmp_path / "raw", {f"A/{name}.png": radiograph(1, side=10) for name in "ab"})
    with pytest.raises(UserError, match=r"no usable image among 2 \(2 too small\); the first, A/a\.png: 14x10 pixels"):
        pack(raw, tmp_path / "pixels.npy", SETTINGS, 1)


def test_a_folder_without_its_table_is_told(tmp_path):
    (tmp_path / "raw/A").mkdir(parents=True)
    with pytest.raises(UserError, match=r"table\.csv is missing"):
        pack(tmp_path / "raw", tmp_path / "pixels.npy", SETTINGS, 1)


def test_workers_start_without_matplotlib_and_torch():
    code = "import sys, stages.preprocess; sys.exit(bool({'matplotlib', 'torch'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_file_with_few_levels_is_named_and_other_remarks_are_counted(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pictures = {f"NORMAL/a{number:02}.png": radiograph(number, bits=12) for number in range(25)}
    pictures |= {f"NORMAL/b{number}.png": radiograph(number, bits=10) for number in range(2)}
    pictures["NORMAL/c.png"] = radiograph(1, bits=14)
    few = {f"NORMAL/z{number:02}.png": radiograph(number) // 16 * 16 for number in range(22)}
    several(tmp_path / "data/raw", pictures | few)
    (tmp_path / "params.yaml").write_text(
        "preprocess: {frame: whole, size: 16, normalise: none, limit: 99, max_damaged: 0.5, seed: 0}\n"
        "runtime: {workers: 1, device: cpu, checkpoint_minutes: 5, stall_seconds: 60, retry_minutes: 10, cluster: ''}\n"
    )
    stage.run(Path())
    told = [line.removeprefix("warning: ") for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert told == [
        *(f"{name}: {len(np.unique(image))} grey levels in use, fewer than 64" for name, image in few.items()),
        "25 files, the first NORMAL/a00.png: taken as 12 bits of 16",
        "2 files, the first NORMAL/b0.png: taken as 10 bits of 16",
        "NORMAL/c.png: taken as 14 bits of 16",
    ]
    assert json.loads((tmp_path / "metrics/preprocess.json").read_text())["remarks"] == 22 + 28


def test_the_stage_writes_what_the_next_ones_read(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "data/raw")
    (tmp_path / "params.yaml").write_text(
        "preprocess: {frame: whole, size: 16, normalise: none, limit: 5, max_damaged: 0.5, seed: 0}\n"
        "runtime: {workers: 1, device: cpu, checkpoint_minutes: 5, stall_seconds: 60, retry_minutes: 10, cluster: ''}\n"
    )
    stage.run(Path())
    first = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    names = {path.relative_to(tmp_path).as_posix() for path in first if "raw" not in path.parts}
    assert names == {
        "params.yaml",
        "data/pixels.npy",
        "data/images.csv",
        "data/rejected.csv",
        "metrics/preprocess.json",
        "plots/contact_sheet.png",
    }
    lines = (tmp_path / "data/images.csv").read_bytes().decode().split("\n")
    assert lines[0] == ",".join(COLUMNS)
    assert len(lines) == 5 + 2
    assert (tmp_path / "data/rejected.csv").read_text().startswith("file,findings,kind,reason\nNORMAL/broken.jpeg,NORMAL,")
    metrics = json.loads((tmp_path / "metrics/preprocess.json").read_text())
    assert metrics["left_out"] == counts(2, NORMAL=0, PNEUMONIA=2)
    assert set(metrics["native"]) == {"all", "NORMAL", "PNEUMONIA"}
    told = capsys.readouterr().out
    assert told == ("found 11; used 5; left out 2; damaged 2; too small 1; duplicate 1; no radiograph 0; external patient 0\n")
    stage.run(tmp_path)
    assert {path: path.read_bytes() for path in first} == first
