import errno
import os
import stat

import pytest

from cxr.foundation.files import replacing, replacing_folder, write_json, write_text


def write_half(path):
    path.write_text("half")
    raise RuntimeError


def test_replacing_keeps_the_old_file_when_the_block_fails(tmp_path):
    path = tmp_path / "new" / "a.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), replacing(path) as partial:
        write_half(partial)
    assert [item.name for item in path.parent.iterdir()] == ["a.txt"]
    assert path.read_text() == "old"


def test_replacing_shows_the_file_only_when_whole(tmp_path):
    path = tmp_path / "a.png"
    with replacing(path) as partial:
        partial.write_bytes(b"whole")
        assert partial.suffix == ".png"
        assert not path.exists()
    assert path.read_bytes() == b"whole"


def test_replacing_folder_leaves_nothing_of_the_old_one_nor_of_a_failure(tmp_path):
    path = tmp_path / "raw"
    with replacing_folder(path) as partial:
        (partial / "old").touch()
    with pytest.raises(RuntimeError), replacing_folder(path) as partial:
        write_half(partial / "a.txt")
    assert [item.name for item in path.iterdir()] == ["old"]
    with replacing_folder(path) as partial:
        assert (path / "old").exists()
        (partial / "new").touch()
    assert [item.name for item in path.iterdir()] == ["new"]
    assert [item.name for item in tmp_path.iterdir()] == ["raw"]


def test_json_keeps_the_order_of_keys_ends_in_a_newline_and_refuses_nan(tmp_path):
    write_json(tmp_path / "a.json", {"z": 1, "a": {"b": 0.5}})
    assert (tmp_path / "a.json").read_bytes() == b'{\n  "z": 1,\n  "a": {\n    "b": 0.5\n  }\n}\n'
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "b.json", {"z": float("nan")})
    assert not (tmp_path / "b.json").exists()


def test_what_is_moved_into_place_is_on_the_disk_before_and_its_name_after(tmp_path, monkeypatch):
    happened = []
    real = os.fsync

    def fsync(opened):
        kind = "folder" if stat.S_ISDIR(os.fstat(opened).st_mode) else "file"
        happened.append((kind, (tmp_path / "a.txt").exists()))
        real(opened)

    monkeypatch.setattr(os, "fsync", fsync)
    write_text(tmp_path / "a.txt", "whole")
    assert happened == [("file", False), ("folder", True)]


@pytest.mark.parametrize("place", [replacing, replacing_folder])
def test_what_the_system_says_names_the_place(tmp_path, place):
    with pytest.raises(OSError, match="full") as error, place(tmp_path / "a"):
        raise OSError(errno.ENOSPC, "full")
    assert error.value.filename == str(tmp_path / "a")
    with pytest.raises(OSError, match="full") as error, place(tmp_path / "a"):
        raise OSError(errno.ENOSPC, "full", "other")
    assert error.value.filename == "other"
