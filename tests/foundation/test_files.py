import errno
import os
import stat
from contextlib import nullcontext

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


@pytest.mark.parametrize("fails", [False, True])
def test_replacing_touches_no_file_that_it_did_not_make(tmp_path, fails):
    """Least of all one that is named as half-made files are, or were."""
    path, others = tmp_path / "a.png", [tmp_path / ".a.partial.png", tmp_path / ".a.png.partial"]
    for other in others:
        other.write_text("of the user")
    with pytest.raises(RuntimeError) if fails else nullcontext(), replacing(path) as partial:
        assert partial not in others
        partial.write_bytes(b"whole")
        if fails:
            raise RuntimeError
    assert [other.read_text() for other in others] == ["of the user"] * 2
    assert len(list(tmp_path.iterdir())) == (2 if fails else 3)


def test_two_that_replace_the_same_file_at_once_each_write_their_own(tmp_path):
    with replacing(tmp_path / "a") as first, replacing(tmp_path / "a") as second:
        first.write_text("first")
        second.write_text("second")
        assert first.read_text() == "first"
    assert [item.name for item in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("name", ["a" * 251 + ".png", "a." + "b" * 253, "\N{GREEK SMALL LETTER ALPHA}" * 125 + ".dcm"])
def test_the_longest_names_that_a_disk_takes_can_be_written(tmp_path, name):
    write_text(tmp_path / name, "whole")
    assert [item.name for item in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_a_new_file_has_the_mode_that_the_umask_gives(tmp_path, umask):
    before = os.umask(umask)
    try:
        write_text(tmp_path / "a", "whole")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o666 & ~umask


def test_what_a_killed_run_of_the_pipeline_has_left_is_replaced(tmp_path):
    with pytest.raises(KeyError), replacing(tmp_path / "a.npy", ours=True) as left:
        raise KeyError
    left.write_text("half")
    with replacing(tmp_path / "a.npy", ours=True) as partial:
        assert partial == left
        assert not partial.read_bytes()
    assert [item.name for item in tmp_path.iterdir()] == ["a.npy"]


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
    with pytest.raises(OSError, match="long") as error, place(tmp_path / "a") as partial:
        raise OSError(errno.ENAMETOOLONG, "long", str(partial), None, str(tmp_path / "a"))
    assert (error.value.filename, error.value.filename2) == (str(tmp_path / "a"), None)
