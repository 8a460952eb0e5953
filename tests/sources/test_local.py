import hashlib
import io
import re
import stat
import zipfile

import pytest
from PIL import Image

from cxr.foundation.errors import UserError
from cxr.sources import local, table
from cxr.sources.local import survey
from cxr.sources.settings import Download
from tests.support.dicom_files import dataset, save, values

IMAGES = {  # bytes need not be images: nothing is decoded on the way in
    "train/NORMAL/IM-0001-0001.jpeg": b"n1" * 700_000,  # larger than one chunk
    "train/PNEUMONIA/person1_virus_1.jpeg": b"p1",
    "test/PNEUMONIA/person2_virus_2.JPEG": b"p2",
    "val/NORMAL/IM-0002-0001.jpeg": b"n2",
}
WANTED = {path.split("/", 1)[1]: content for path, content in IMAGES.items()}


def fetch(source, folder, **settings):
    plain = {"source": "local", "path": str(source), "table": "", "columns": {}, "findings": {}, "patient": "", "external": ""}
    return local.fetch(source, folder, Download(**{**plain, **settings}))


def make_zip(path, entries, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def make_folder(path, entries):
    for name, content in entries:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def kaggle():
    for name, content in IMAGES.items():
        yield f"chest_xray/{name}", content
    for name, content in list(IMAGES.items())[:3]:
        yield f"chest_xray/chest_xray/{name}", content
        folder, file = name.rsplit("/", 1)
        yield f"chest_xray/__MACOSX/{folder}/._{file}", b"litter"
    yield "chest_xray/train/.DS_Store", b"litter"
    yield "chest_xray/readme.txt", b"text"


def taken(folder):
    files = [path for path in folder.rglob("*") if path.is_file() and path != folder / "table.csv"]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_kaggles_zip_gives_each_image_once_with_its_name_and_bytes(tmp_path):
    source = make_zip(tmp_path / "k.zip", kaggle())
    fetched = fetch(source, tmp_path / "raw")
    assert taken(tmp_path / "raw") == WANTED
    assert fetched.images == {"NORMAL": 2, "PNEUMONIA": 2}
    assert fetched.left_out == {"copies": 3, "no_image": 5, "masks": 0, "not_in_table": 0, "external": 0}
    assert fetched.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()


def test_a_folder_gives_what_a_zip_of_it_gives(tmp_path):
    source = make_folder(tmp_path / "source", kaggle())
    fetched = fetch(source, tmp_path / "raw")
    assert taken(tmp_path / "raw") == WANTED
    assert fetched.images == {"NORMAL": 2, "PNEUMONIA": 2}
    assert fetched.left_out == {"copies": 3, "no_image": 5, "masks": 0, "not_in_table": 0, "external": 0}


def test_a_folders_hash_is_of_what_sha256sum_prints_and_blind_to_litter(tmp_path):
    source = make_folder(tmp_path / "source", WANTED.items())
    printed = "".join(f"{hashlib.sha256(WANTED[name]).hexdigest()}  {name}\n" for name in sorted(WANTED))
    expected = hashlib.sha256(printed.encode()).hexdigest()
    assert fetch(source, tmp_path / "raw").sha256 == expected
    (source / ".DS_Store").write_bytes(b"litter")
    assert fetch(source, tmp_path / "again").sha256 == survey(tmp_path / "raw").sha256 == expected
    assert survey(tmp_path / "raw").images == {"NORMAL": 2, "PNEUMONIA": 2}
    (source / "NORMAL/IM-0002-0001.jpeg").rename(source / "NORMAL/IM-0003-0001.jpeg")
    assert fetch(source, tmp_path / "renamed").sha256 != expected


def test_every_suffix_and_windows_separators(tmp_path):
    names = ["a.jpg", "b.jpeg", "c.png", "d.tif", "e.TIFF", "f.Bmp"]
    entries = [(f"xrays\\{'COVID' if i % 2 else 'mass'}\\{name}", name.encode()) for i, name in enumerate(names)]
    assert fetch(make_zip(tmp_path / "w.zip", entries), tmp_path / "raw").images == {"COVID": 3, "mass": 3}
    assert taken(tmp_path / "raw")["COVID/b.jpeg"] == b"b.jpeg"


def people(pack, path):
    names = [f"{who}/{i}.png" for who in ("Mueller Hans", "Schmidt Eva") for i in range(2)]
    return pack(path, [*((name, name.encode()) for name in names), ("Schmidt Eva/NORMAL/x.png", b"x")])


@pytest.mark.parametrize("pack", [make_zip, make_folder])
def test_names_of_people_do_not_become_findings(tmp_path, pack):
    fetched = fetch(people(pack, tmp_path / "source"), tmp_path / "raw")
    assert fetched.images == {"NORMAL": 1, "unknown": 4}
    assert fetched.notes[0] == (
        "4 images lie in 2 folders whose names are no known findings, such as 'Mueller Hans'; if they are, "
        'download.findings takes them: {"FOLDER": FINDING}'
    )
    assert "Schmidt" not in str(fetched)


def test_folders_that_the_user_lists_are_findings(tmp_path):
    source = people(make_folder, tmp_path / "source")
    fetched = fetch(source, tmp_path / "raw", findings={"Mueller Hans": "TB|Mass", "*": "NODULE"})
    assert fetched.images == {"Mass|TUBERCULOSIS": 2, "NORMAL": 1, "unknown": 2}
    assert "2 images lie in 1 folders" in fetched.notes[0]


def test_dicom_that_is_called_png_is_dicom(tmp_path):
    for who in ("Doe", "Roe"):
        dicom(tmp_path / "source" / who / "NORMAL/1.png", PatientID=who, PatientName=who)
    assert fetch(tmp_path / "source", tmp_path / "raw").images == {"NORMAL": 2}
    assert sorted(row.name for row in listed(tmp_path / "raw").values()) == ["p00001-0001", "p00002-0001"]


@pytest.mark.parametrize("other", ["a.jpeg", "A.JPEG"])  # some file systems hold only one of the latter two
@pytest.mark.parametrize("pack", [make_zip, make_folder])
def test_two_images_of_one_class_and_name_are_both_named(tmp_path, pack, other):
    source = pack(tmp_path / "source", [("train/NORMAL/a.jpeg", b"1"), (f"test/NORMAL/{other}", b"2")])
    with pytest.raises(UserError, match="two images of one class and name") as error:
        fetch(source, tmp_path / "raw")
    assert "train/NORMAL/a.jpeg" in str(error.value)
    assert f"test/NORMAL/{other}" in str(error.value)


def test_one_name_in_two_classes_is_two_images(tmp_path):
    source = make_folder(tmp_path / "source", [("NORMAL/a.jpeg", b"1"), ("PNEUMONIA/a.jpeg", b"1")])
    assert fetch(source, tmp_path / "raw").images == {"NORMAL": 1, "PNEUMONIA": 1}


@pytest.mark.parametrize("name", ["../NORMAL/a.jpeg", "NORMAL/../../a.jpeg", "/etc/NORMAL/a.jpeg", "C:\\NORMAL\\a.jpeg"])
def test_nothing_is_written_outside_the_target(tmp_path, name):
    source = make_zip(tmp_path / "evil.zip", [("NORMAL/ok.jpeg", b"ok"), (name, b"evil")])
    with pytest.raises(UserError, match="points outside the zip") as error:
        fetch(source, tmp_path / "inner" / "raw")
    assert repr(name) in str(error.value)
    assert not [path for path in tmp_path.rglob("*.jpeg") if path.read_bytes() == b"evil"]


def test_a_link_in_a_zip_is_refused(tmp_path):
    link = zipfile.ZipInfo("NORMAL/a.jpeg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(UserError, match=r"'NORMAL/a\.jpeg' is a link"):
        fetch(make_zip(tmp_path / "l.zip", [(link, "/etc/passwd")]), tmp_path / "raw")


def flag_encrypted(data):
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    return data


def flip_content(data):
    data[data.index(b"content")] ^= 1
    return data


def unknown_method(data):
    for signature, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        data[data.index(signature) + offset] = 99
    return data


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (flag_encrypted, r"'NORMAL/a\.jpeg' is encrypted"),
        (flip_content, r"'NORMAL/a\.jpeg' is damaged \(Bad CRC"),
        (unknown_method, r"'NORMAL/a\.jpeg' is damaged"),
        (lambda data: data[:-30], "not a whole zip"),
        (lambda data: b"<html>not found</html>", "not a whole zip"),
        (lambda data: b"", "not a whole zip"),
    ],
)
def test_a_harmed_zip_is_one_line_that_names_file_and_entry(tmp_path, harm, told):
    source = make_zip(tmp_path / "z.zip", [("NORMAL/a.jpeg", b"content")], zipfile.ZIP_STORED)
    source.write_bytes(harm(bytearray(source.read_bytes())))
    with pytest.raises(UserError, match=told) as error:
        fetch(source, tmp_path / "raw")
    assert str(source) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("pack", [make_zip, make_folder])
@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ([("NORMAL/readme.txt", b""), ("__MACOSX/NORMAL/a.jpeg", b"")], "no images in it"),
        ([("masks/a.png", b""), ("b_mask.png", b"")], "2 masks and no radiographs in it"),
    ],
)
def test_a_source_without_radiographs(tmp_path, pack, entries, told):
    with pytest.raises(UserError, match=told):
        fetch(pack(tmp_path / "source", entries), tmp_path / "raw")


def test_a_missing_source_is_named(tmp_path):
    with pytest.raises(UserError, match=r"download\.path is .*nowhere\.zip: no such file or folder"):
        fetch(tmp_path / "nowhere.zip", tmp_path / "raw")


def test_linked_classes_are_followed_but_not_round_in_circles(tmp_path):
    make_folder(tmp_path / "disk", [("a.jpeg", b"1")])
    source = tmp_path / "source"
    source.mkdir()
    (source / "NORMAL").symlink_to(tmp_path / "disk", target_is_directory=True)
    (tmp_path / "disk" / "loop").symlink_to(source, target_is_directory=True)
    assert fetch(source, tmp_path / "raw").images == {"NORMAL": 1}


def test_a_folder_around_the_workspaces_own_data_is_refused(tmp_path):
    make_folder(tmp_path, [("NORMAL/a.jpeg", b"1")])
    with pytest.raises(UserError, match="holds this workspace's own data"):
        fetch(tmp_path, tmp_path / "data" / "raw")


def test_the_order_on_disk_does_not_matter(tmp_path):
    first = make_folder(tmp_path / "first", WANTED.items())
    second = make_folder(tmp_path / "second", reversed(list(WANTED.items())))
    assert fetch(first, tmp_path / "raw1") == fetch(second, tmp_path / "raw2")


def listed(folder):
    return {row.file: row for row in table.read(folder)}


def dicom(path, **elements):
    path.parent.mkdir(parents=True, exist_ok=True)
    save(dataset(values(), **elements), path)
    return path.read_bytes()


def test_kaggles_table(tmp_path):
    fetched = fetch(make_zip(tmp_path / "k.zip", kaggle()), tmp_path / "raw")
    rows = listed(tmp_path / "raw")
    assert list(rows) == sorted(WANTED)
    assert rows["PNEUMONIA/person1_virus_1.jpeg"] == table.Listed(
        "PNEUMONIA/person1_virus_1.jpeg", "PNEUMONIA/person1_virus_1.jpeg", "person1", "PNEUMONIA"
    )
    assert fetched.patients == {"table": 0, "expression": 0, "header": 0, "name": 4, "none": 0}
    assert fetched.notes == []


def test_collections_are_folders_of_ten_patients_or_more_that_name_neither_finding_nor_part(tmp_path):
    names = [(f"kaggle/train/NORMAL/person{number}_1.jpeg", f"k{number}".encode()) for number in range(10)]
    names += [(f"nih/images/{number:08}_000.png", f"n{number}".encode()) for number in range(10)]
    names += [(f"Meyer, Hans/{number}.png", f"m{number}".encode()) for number in range(3)]
    fetch(make_folder(tmp_path / "source", names), tmp_path / "raw", patient=r"(person\d+|\d{8}|Meyer)")
    told = {row.patient: row.collection for row in listed(tmp_path / "raw").values()}
    assert told["person3"] == "kaggle"
    assert told["00000004"] == "nih"
    assert told["Meyer"] == ""  # a folder of one patient may have the patient's name


def test_collections_may_lie_in_a_folder_of_both(tmp_path):
    names = [(f"images/{clinic}/{number:08}_000.png", f"{clinic}{number}".encode()) for clinic in "ab" for number in range(10)]
    fetch(make_folder(tmp_path / "source", names), tmp_path / "raw", patient=r"([ab]/\d{8})")
    assert {row.patient: row.collection for row in listed(tmp_path / "raw").values()}["b/00000003"] == "b"


def test_there_is_no_collection_where_all_are_of_one(tmp_path):
    names = [
        (f"set/{part}/NORMAL/person{number}_1.jpeg", f"{number}".encode()) for number, part in enumerate(["val", "test"] * 8)
    ]
    fetch(make_folder(tmp_path / "source", names), tmp_path / "raw")
    assert {row.collection for row in listed(tmp_path / "raw").values()} == {""}


@pytest.mark.parametrize("pack", [make_zip, make_folder])
def test_images_of_no_class_keep_their_path_below_common_folders_and_are_counted(tmp_path, pack):
    entries = [
        ("set/train/patient00001/study1/view1_frontal.jpg", b"1"),
        ("set/train/patient00001/study2/view1_frontal.jpg", b"2"),
        ("set/train/patient00002/study1/view1_frontal.jpg", b"3"),
        ("set/scan.jfif", b"4"),
        ("set/COVID/x.png", b"5"),
    ]
    fetched = fetch(pack(tmp_path / "source", entries), tmp_path / "raw")
    assert taken(tmp_path / "raw") == {name.removeprefix("set/"): content for name, content in entries}
    assert fetched.images == {"COVID": 1, "unknown": 4}
    assert fetched.patients == {"table": 0, "expression": 0, "header": 0, "name": 2, "none": 2}
    assert fetched.notes == [
        "4 of 5 images have no finding: no folder and no table names one",
        "2 of 5 images name no patient: each counts as a patient of its own; say which by download.patient or a table",
    ]


@pytest.mark.parametrize("zipped", [False, True])
def test_dicom_is_known_by_its_content_whatever_its_name(tmp_path, zipped):
    names = ["1.2.840.10/1.2.3", "1.2.840.10/1.2.4.dcm", "1.2.840.11/IM000001", "1.2.840.11/photo.txt"]
    people = ["Doe", "Doe", "Roe", "Doe"]
    source = tmp_path / "source"
    contents = {name: dicom(source / name, PatientID=who, PatientName=who) for name, who in zip(names, people, strict=True)}
    dicom(source / "DICOMDIR")
    for name in ("1.2.840.10/without_preamble.dcm", "1.2.840.12/1.2.5"):
        contents[name] = contents["1.2.840.10/1.2.3"][132:]
        make_folder(source, [(name, contents[name])])
    for name in ("README", "report.pdf", "empty"):
        (source / name).write_bytes(b"" if name == "empty" else b"text" * 100)
    if zipped:
        files = [
            (path.relative_to(source).as_posix(), path.read_bytes()) for path in sorted(source.rglob("*")) if path.is_file()
        ]
        source = make_zip(tmp_path / "source.zip", files)
    fetched = fetch(source, tmp_path / "raw")
    assert taken(tmp_path / "raw") == contents
    assert fetched.left_out["no_image"] == 4
    rows = listed(tmp_path / "raw")
    assert [rows[name].patient for name in names] == ["p00001", "p00001", "p00002", "p00001"]
    assert rows["1.2.840.11/IM000001"].name == "p00002-0001"


def test_a_header_says_who_and_how_and_nothing_identifying_is_copied(tmp_path):
    dicom(tmp_path / "source/NORMAL/1.2.3", PatientSex="F", PatientAge="058Y", ViewPosition="PA", PixelSpacing=[0.2, 0.2])
    dicom(tmp_path / "source/NORMAL/1.2.4", PatientID="", PatientName="")
    (tmp_path / "source/NORMAL/broken.dcm").write_bytes(b"no DICOM")
    fetch(tmp_path / "source", tmp_path / "raw")
    first = listed(tmp_path / "raw")["1.2.3"]
    assert (first.name, first.patient, first.findings) == ("p00001-0001", "p00001", "NORMAL")
    assert (first.view, first.age, first.sex) == ("PA", "58", "F")
    assert first.spacing == "0.2"
    assert listed(tmp_path / "raw")["broken.dcm"].name.startswith("unknown-")
    text = (tmp_path / "raw/table.csv").read_text()
    assert not any(word in text for word in ("Doe", "4711", "19700101", "Elsewhere"))


NIH = """Image Index,Finding Labels,Patient ID,role,mm,boxes
00000013_005.png,Effusion|Nodule,13,external,0.143,10 20 30 40;0 0 5 5
00000013_026.png,No Finding,13,train,0.143,
00000014_000.png,Pneumonia,14,odd,0.143,
00000015_000.png,Pneumonia,15,,0.143,
"""
COLUMNS = {
    "file": "Image Index",
    "findings": "Finding Labels",
    "patient": "Patient ID",
    "split": "role",
    "spacing": "mm",
    "boxes": "boxes",
    "frame": "100 200",
}


@pytest.mark.parametrize("pack", [make_zip, make_folder])
def test_a_table_says_which_images_and_what_of_them(tmp_path, pack):
    images = (
        "images_001/00000013_005.png",
        "images_002/00000013_026.png",
        "images_002/00000014_000.png",
        "images_002/left.png",
    )
    entries = [("nih/Data_Entry.csv", NIH.encode()), *((f"nih/{name}", name.encode()) for name in images)]
    source = pack(tmp_path / "source", entries)
    fetched = fetch(source, tmp_path / "raw", table="Data_Entry.csv", columns=COLUMNS)
    assert sorted(taken(tmp_path / "raw")) == list(images[:3])
    rows = listed(tmp_path / "raw")
    assert rows[images[0]]._replace(file="", name="") == table.Listed(
        file="",
        name="",
        patient="13",
        findings="Effusion|NODULE",
        split="external",
        spacing="0.143",
        boxes="0.100000 0.100000 0.300000 0.200000|0.000000 0.000000 0.050000 0.025000",
    )
    assert (rows[images[1]].findings, rows[images[1]].split, rows[images[2]].split) == ("NORMAL", "train", "")
    assert fetched.images == {"Effusion|NODULE": 1, "NORMAL": 1, "PNEUMONIA": 1}
    assert fetched.left_out == {"copies": 0, "no_image": 0, "masks": 0, "not_in_table": 1, "external": 0}
    assert fetched.patients["table"] == 2
    where = f"{source}: nih/Data_Entry.csv"
    assert fetched.notes == [
        f"{where}: 1 values of role mean nothing as split: 1 'odd'",
        f"{where}: 1 rows name a radiograph that is not there, the first '00000015_000.png'",
    ]


def png(width, height):
    buffer = io.BytesIO()
    Image.new("L", (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


def test_boxes_are_shares_of_the_image_itself_where_no_frame_is_given(tmp_path):
    dicom(tmp_path / "source/1.2.3", Rows=18, Columns=14)
    text = "f,x,y,w,h,Target\n1.2.3,7,9,7,9,1\n1.2.3,0,0,3.5,9,1\nwide.png,10,10,30,5,1\nwhole.png,,,,,0\n"
    entries = [("boxes.csv", text.encode()), ("wide.png", png(40, 20)), ("whole.png", png(40, 20))]
    make_folder(tmp_path / "source", entries)
    columns = {"file": "f", "boxes": ["x", "y", "w", "h"], "findings": "Target"}
    settings = {"table": "boxes.csv", "columns": columns, "findings": {"1": "PNEUMONIA", "0": "NORMAL"}}
    fetch(tmp_path / "source", tmp_path / "raw", **settings)
    rows = listed(tmp_path / "raw")
    first, second = "PNEUMONIA 0.500000 0.500000 0.500000 0.500000", "PNEUMONIA 0.000000 0.000000 0.250000 0.500000"
    assert rows["1.2.3"].boxes == f"{first}|{second}"
    assert rows["wide.png"].boxes == "PNEUMONIA 0.250000 0.500000 0.750000 0.250000"
    assert (rows["whole.png"].boxes, rows["whole.png"].findings) == ("", "NORMAL")
    columns["frame"] = 30
    fetched = fetch(tmp_path / "source", tmp_path / "other", **settings)
    assert fetched.notes[0] == (
        "1 boxes are left out, such as 10 10 30 5 of wide.png, which is not in 30x30 pixels; see download.columns.frame"
    )
    assert (listed(tmp_path / "other")["wide.png"].boxes, listed(tmp_path / "other")["1.2.3"].boxes.count("|")) == ("", 1)


def test_masks_of_a_table_lie_beside_the_radiographs_and_are_none(tmp_path):
    text = "file,mask,lesions\nimages/x.png,masks/x.png,2\nimages/y.png,masks/gone.png,0\n"
    entries = [("t.csv", text.encode()), *((name, name.encode()) for name in ("images/x.png", "masks/x.png", "images/y.png"))]
    settings = {
        "table": "t.csv",
        "columns": {"file": "file", "mask": "mask", "findings": "lesions"},
        "findings": {0: "NORMAL", "*": "NODULE"},
    }
    fetched = fetch(make_folder(tmp_path / "source", entries), tmp_path / "raw", **settings)
    rows = listed(tmp_path / "raw")
    assert [(row.file, row.mask, row.findings) for row in rows.values()] == [
        ("images/x.png", "masks/x.png", "NODULE"),
        ("images/y.png", "", "NORMAL"),
    ]
    assert (tmp_path / "raw/masks/x.png").read_bytes() == b"masks/x.png"
    assert fetched.left_out == {"copies": 0, "no_image": 0, "masks": 0, "not_in_table": 0, "external": 0}
    assert fetched.notes[0].endswith("1 rows name a mask that is not there, the first 'masks/gone.png'")


def test_masks_are_left_out_where_no_table_names_them(tmp_path):
    entries = [
        ("COVID/images/x.png", b"1"),
        ("COVID/masks/x.png", b"2"),
        ("Normal/images/x.png", b"3"),
        ("Normal/y_mask.png", b"4"),
    ]
    fetched = fetch(make_folder(tmp_path / "source", entries), tmp_path / "raw")
    assert sorted(taken(tmp_path / "raw")) == ["COVID/images/x.png", "Normal/images/x.png"]
    assert (fetched.images, fetched.left_out["masks"]) == ({"COVID": 1, "NORMAL": 1}, 2)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("gone.csv", "f\na.png\n", r"download\.table is gone\.csv, which is not in it; tables in it: one/t\.csv, two/t\.csv"),
        ("t.csv", "f\na.png\n", r"is it one/t\.csv or two/t\.csv\? name its folders as well"),
        ("one/t.csv", "f\nb.png\nc.png\n", r"none of 2 rows names a radiograph that is there; see download\.columns\.file"),
        ("one/t.csv", "g\na.png\n", r"no column 'f', which download\.columns\.file names; there are: g"),
        ("one/t.csv", "f\na.png\n", r"none of 1 rows names a radiograph that is there"),
    ],
)
@pytest.mark.parametrize("pack", [make_zip, make_folder])
def test_a_table_that_does_not_fit_is_one_line(tmp_path, pack, name, text, told):
    entries = [("one/a.png", b"1"), ("two/a.png", b"2"), ("one/t.csv", text.encode()), ("two/t.csv", text.encode())]
    with pytest.raises(UserError, match=told) as error:
        fetch(pack(tmp_path / "source", entries), tmp_path / "raw", table=name, columns={"file": "f"})
    assert "\n" not in str(error.value)


def test_an_expression_says_who(tmp_path):
    source = make_folder(tmp_path / "source", [(f"ward_{who}_{i}.png", b"%d" % i) for who in "ab" for i in range(2)])
    fetched = fetch(source, tmp_path / "raw", patient=r"ward_(.)_")
    assert [row.patient for row in listed(tmp_path / "raw").values()] == ["a", "a", "b", "b"]
    assert fetched.patients["expression"] == 2


def test_an_encrypted_file_that_may_be_dicom_is_refused(tmp_path):
    source = make_zip(tmp_path / "z.zip", [("1.2.3", b"content" * 40)], zipfile.ZIP_STORED)
    source.write_bytes(flag_encrypted(bytearray(source.read_bytes())))
    with pytest.raises(UserError, match=r"'1\.2\.3' is encrypted"):
        fetch(source, tmp_path / "raw")


def test_an_image_with_the_name_of_a_folder_is_named(tmp_path):
    head = bytes(128) + b"DICM"
    source = make_zip(tmp_path / "z.zip", [("odd/1", head), ("odd/1/2", head), ("b.png", b"")])
    with pytest.raises(UserError, match="odd/1/2 has the name of a folder"):
        fetch(source, tmp_path / "raw")


def test_equal_sources_give_equal_bytes(tmp_path):
    for name in ("first", "second"):
        for i in range(3):
            dicom(tmp_path / name / f"1.2.{i}", PatientID=f"{i % 2}", PatientName="")
        fetch(tmp_path / name, tmp_path / f"raw of {name}")
    assert (tmp_path / "raw of first/table.csv").read_bytes() == (tmp_path / "raw of second/table.csv").read_bytes()


def test_headers_that_name_only_placeholders_join_nobody_and_are_told(tmp_path):
    for i in range(3):
        dicom(tmp_path / f"source/1.2.{i}", PatientID="ANON" if i else "7", PatientName="Anonymous")
    fetched = fetch(tmp_path / "source", tmp_path / "raw")
    assert (fetched.patients["header"], fetched.patients["none"]) == (1, 2)
    assert fetched.notes[0] == "2 of 3 images have a DICOM header with a word such as ANONYMOUS for a patient"


@pytest.mark.parametrize(
    ("table", "settings"),
    [
        ("f,s,p\na.png,train,1\nb.png,,2\nc.png,val,1\nd.png,external,1\ngone.png,external,1\n", {"patient": "p"}),
        ("f,s\n00000013_001.png,train\nb.png,\n00000013_002.png,val\n00000013_003.png,external\n00000013_4.png,\n", {}),
    ],
)
def test_who_has_an_external_image_that_is_missing_is_not_trained_on(tmp_path, table, settings):
    if not settings:
        table = table.replace("00000013_4.png,", "00000013_004.png,external")
    names = [line.split(",")[0] for line in table.splitlines()[1:-1]]
    make_folder(tmp_path / "source", [("t.csv", table.encode()), *((name, name.encode()) for name in names)])
    columns = {"file": "f", "split": "s", **settings}
    fetched = fetch(tmp_path / "source", tmp_path / "raw", table="t.csv", columns=columns)
    assert [(row.file, row.split) for row in listed(tmp_path / "raw").values()] == sorted(
        [("b.png", ""), (names[3], "external")]
    )
    assert sorted(taken(tmp_path / "raw")) == sorted(["b.png", names[3]])
    assert fetched.left_out["external"] == 2


def test_only_patients_whose_external_image_is_missing(tmp_path):
    entries = [("t.csv", b"f,s,p\na.png,train,1\ngone.png,external,1\n"), ("a.png", b"a")]
    with pytest.raises(UserError, match="all images are of patients whose external image is missing"):
        fetch(
            make_folder(tmp_path / "source", entries),
            tmp_path / "raw",
            table="t.csv",
            columns={"file": "f", "split": "s", "patient": "p"},
        )


def test_rows_that_may_mean_several_files_are_told_and_not_taken(tmp_path):
    entries = [("t.csv", b"f\na.png\nb.png\n"), ("one/a.png", b"1"), ("two/a.png", b"2"), ("b.png", b"3")]
    fetched = fetch(make_folder(tmp_path / "source", entries), tmp_path / "raw", table="t.csv", columns={"file": "f"})
    assert sorted(taken(tmp_path / "raw")) == ["b.png"]
    assert "1 rows may each mean a radiograph that others may mean as well, the first 'a.png'" in fetched.notes[0]


@pytest.mark.parametrize("name", ["table.csv", "Table.CSV", "table.csv/x", "table.csv/NORMAL/x"])
@pytest.mark.parametrize("pack", [make_zip, make_folder])
def test_what_is_called_as_the_list_is_named(tmp_path, pack, name):
    source = pack(tmp_path / "source", [(name, bytes(128) + b"DICM"), ("b/x.png", b"1")])
    with pytest.raises(UserError, match=f"{name} is called as the list of images is"):
        fetch(source, tmp_path / "raw")


def test_folders_that_link_to_each_other_are_walked_once(tmp_path):
    source = make_folder(tmp_path / "source", [("NORMAL/a.png", b"a"), ("TB/b.png", b"b"), (".store/c.png", b"c")])
    (source / "NORMAL/to TB").symlink_to("../TB")
    (source / "TB/to NORMAL").symlink_to("../NORMAL")
    (source / ".store/loop").symlink_to("../.store")
    (source / "COVID").symlink_to(".store")
    fetched = fetch(source, tmp_path / "raw")
    assert fetched.images == {"COVID": 1, "NORMAL": 1, "TUBERCULOSIS": 1}
    assert fetched.left_out["copies"] == 0


def test_control_characters_do_not_reach_the_table(tmp_path):
    source = make_folder(tmp_path / "source", [("a\rb\nc.png", b"a"), ("t.csv", b'f,p\n"a\rb\nc.png","1\r2"\n')])
    fetch(source, tmp_path / "raw", table="t.csv", columns={"file": "f", "patient": "p"})
    assert [(row.file, row.patient) for row in table.read(tmp_path / "raw")] == [("a b\nc.png", "1 2")]
    assert sorted(taken(tmp_path / "raw")) == ["a b\nc.png"]


CLINICS = {
    "shenzhen/CXR_png/CHNCXR_0001_0.png": b"1",
    "shenzhen/CXR_png/CHNCXR_0002_1.png": b"2",
    "shenzhen/ClinicalReadings/CHNCXR_0002_1.txt": b"male, 30 yrs",
    "montgomery/CXR_png/MCUCXR_0001_0.png": b"3",
    "montgomery/CXR_png/MCUCXR_0002_1.png": b"4",
    "montgomery/ManualMask/leftMask/MCUCXR_0002_1.png": b"5",
}


@pytest.mark.parametrize("external", ["MCUCXR", "^montgomery/", "mcucxr", "^Montgomery/"])
def test_of_two_clinics_names_tell_patient_and_finding_and_one_is_another_source(tmp_path, external):
    source = make_folder(tmp_path / "source", CLINICS.items())
    fetched = fetch(source, tmp_path / "raw", external=external)
    rows = {row.file.rpartition("/")[2]: row for row in table.read(tmp_path / "raw")}
    assert {name: (row.patient, row.findings, row.split) for name, row in rows.items()} == {
        "CHNCXR_0001_0.png": ("CHNCXR-1", "NORMAL", ""),
        "CHNCXR_0002_1.png": ("CHNCXR-2", "TUBERCULOSIS", ""),
        "MCUCXR_0001_0.png": ("MCUCXR-1", "NORMAL", "external"),
        "MCUCXR_0002_1.png": ("MCUCXR-2", "TUBERCULOSIS", "external"),
    }
    assert fetched.images == {"NORMAL": 2, "TUBERCULOSIS": 2}
    assert fetched.left_out["masks"] == 1
    assert fetched.notes == ["2 of 4 images are external by download.external"]


TABLE = b"f\nshenzhen/CXR_png/CHNCXR_0001_0.png\nMCUXCR_0009_1.png\n"


@pytest.mark.parametrize(
    ("settings", "of"),
    [
        ({}, "4 radiographs, such as 'montgomery/CXR_png/MCUCXR_0001_0.png'"),
        ({"table": "t.csv", "columns": {"file": "f"}}, "1 radiographs, such as 'shenzhen/CXR_png/CHNCXR_0001_0.png'"),
    ],
)
def test_an_expression_for_another_source_that_is_found_in_no_file_is_refused(tmp_path, settings, of):
    source = make_folder(tmp_path / "source", {**CLINICS, "t.csv": TABLE}.items())
    where = re.escape(f"download.external is 'MCUXCR', which is found in the path of none of {of}; nothing would be external")
    with pytest.raises(UserError, match=f"^{where}; mend it, or leave it empty$"):
        fetch(source, tmp_path / "raw", external="MCUXCR", **settings)


def test_a_name_tells_more_than_a_folder_and_the_users_word_more_than_a_name(tmp_path):
    source = make_folder(tmp_path / "source", [("tb/CHNCXR_0001_0.png", b"1"), ("ward/CHNCXR_0002_1.png", b"2")])
    fetch(source, tmp_path / "raw")
    assert {row.findings for row in table.read(tmp_path / "raw")} == {"NORMAL", "TUBERCULOSIS"}
    fetch(source, tmp_path / "told", findings={"ward": "NODULE"})
    assert {row.file: row.findings for row in table.read(tmp_path / "told")} == {
        "tb/CHNCXR_0001_0.png": "NORMAL",
        "ward/CHNCXR_0002_1.png": "NODULE",
    }


def test_what_a_table_calls_external_or_a_name_does_is_so(tmp_path):
    rows = b"f,s\nCHNCXR_0001_0.png,external\nCHNCXR_0002_1.png,train\nMCUCXR_0001_0.png,train\nMCUCXR_0009_0.png,\n"
    entries = [("CHNCXR_0001_0.png", b"1"), ("CHNCXR_0002_1.png", b"2"), ("MCUCXR_0001_0.png", b"3"), ("t.csv", rows)]
    source = make_folder(tmp_path / "source", entries)
    columns = {"file": "f", "split": "s"}
    fetch(source, tmp_path / "raw", table="t.csv", columns=columns, external="MCU")
    assert {row.file: row.split for row in table.read(tmp_path / "raw")} == {
        "CHNCXR_0001_0.png": "external",
        "CHNCXR_0002_1.png": "train",
        "MCUCXR_0001_0.png": "external",
    }
