import hashlib
import stat
import zipfile

import pytest

from cxr.foundation.errors import UserError
from cxr.sources.local import Download, fetch, survey

IMAGES = {  # bytes need not be images: nothing is decoded on the way in
    "train/NORMAL/IM-0001-0001.jpeg": b"n1" * 700_000,  # larger than one chunk
    "train/PNEUMONIA/person1_virus_1.jpeg": b"p1",
    "test/PNEUMONIA/person2_virus_2.JPEG": b"p2",
    "val/NORMAL/IM-0002-0001.jpeg": b"n2",
}
WANTED = {path.split("/", 1)[1]: content for path, content in IMAGES.items()}


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
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_kaggles_zip_gives_each_image_once_with_its_name_and_bytes(tmp_path):
    source = make_zip(tmp_path / "k.zip", kaggle())
    fetched = fetch(source, tmp_path / "raw")
    assert taken(tmp_path / "raw") == WANTED
    assert fetched.images == {"NORMAL": 2, "PNEUMONIA": 2}
    assert (fetched.copies, fetched.ignored) == (3, 5)
    assert fetched.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()


def test_a_folder_gives_what_a_zip_of_it_gives(tmp_path):
    source = make_folder(tmp_path / "source", kaggle())
    fetched = fetch(source, tmp_path / "raw")
    assert taken(tmp_path / "raw") == WANTED
    assert fetched.images == {"NORMAL": 2, "PNEUMONIA": 2}
    assert (fetched.copies, fetched.ignored) == (3, 5)


def test_a_folders_hash_is_of_what_sha256sum_prints_and_blind_to_litter(tmp_path):
    source = make_folder(tmp_path / "source", WANTED.items())
    printed = "".join(f"{hashlib.sha256(WANTED[name]).hexdigest()}  {name}\n" for name in sorted(WANTED))
    expected = hashlib.sha256(printed.encode()).hexdigest()
    assert fetch(source, tmp_path / "raw").sha256 == expected
    (source / ".DS_Store").write_bytes(b"litter")
    assert survey(source) == ({"NORMAL": 2, "PNEUMONIA": 2}, 0, 1, expected)
    (source / "NORMAL/IM-0002-0001.jpeg").rename(source / "NORMAL/IM-0003-0001.jpeg")
    assert survey(source).sha256 != expected


def test_any_class_names_every_suffix_and_windows_separators(tmp_path):
    names = ["a.jpg", "b.jpeg", "c.png", "d.tif", "e.TIFF", "f.Bmp"]
    entries = [(f"xrays\\{'odd' if i % 2 else 'even'}\\{name}", name.encode()) for i, name in enumerate(names)]
    assert fetch(make_zip(tmp_path / "w.zip", entries), tmp_path / "raw").images == {"even": 3, "odd": 3}
    assert taken(tmp_path / "raw")["odd/b.jpeg"] == b"b.jpeg"


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
        ([("NORMAL/a.jpeg", b""), ("b.jpeg", b"")], r"b\.jpeg lies in no class's folder"),
    ],
)
def test_a_source_without_classes_or_images(tmp_path, pack, entries, told):
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


def test_local_needs_a_path():
    Download("phantom", "")
    with pytest.raises(ValueError, match="path is empty"):
        Download("local", " ")
