import os
import pickle
import subprocess
import sys
import time

import pytest
import torch
from filelock import FileLock

from cxr.compute import checkpoint
from cxr.compute.checkpoint import Checkpoint, locked
from cxr.foundation.errors import UserError
from tests.support.tiny import ROOT


def test_what_is_saved_is_loaded_until_it_is_removed(tmp_path):
    kept = Checkpoint(tmp_path, "net", {"a": 1})
    assert kept.load() is None
    kept.save({"step": 3, "weights": {"w": torch.arange(3)}, "rows": [{"x": 1.5}]})
    state = Checkpoint(tmp_path, "net", {"a": 1}).load()
    assert state is not None
    assert (state["step"], state["rows"]) == (3, [{"x": 1.5}])
    assert torch.equal(state["weights"]["w"], torch.arange(3))
    kept.remove()
    assert kept.load() is None


@pytest.mark.parametrize(("name", "identity"), [("net", {"a": 2}), ("net", {"a": 1, "b": 1}), ("other", {"a": 1})])
def test_the_checkpoint_of_another_run_is_never_picked_up(tmp_path, name, identity):
    Checkpoint(tmp_path, "net", {"a": 1}).save({"step": 3})
    assert Checkpoint(tmp_path, name, identity).load() is None


def test_a_save_that_fails_leaves_the_one_before(tmp_path):
    kept = Checkpoint(tmp_path, "net", {})
    kept.save({"step": 3})
    with pytest.raises((AttributeError, pickle.PicklingError), match="lambda"):
        kept.save({"step": lambda: None})
    assert kept.load() == {"step": 3}
    assert [path.name for path in tmp_path.iterdir()] == [kept.path.name]


@pytest.mark.parametrize("harm", [lambda data: data[:-1], lambda data: b"", lambda data: data[:60] + b"!" + data[61:]])
def test_a_checkpoint_that_the_disk_did_not_keep_is_left_with_a_warning(tmp_path, capsys, harm):
    kept = Checkpoint(tmp_path, "net", {})
    kept.save({"step": 3})
    kept.path.write_bytes(harm(kept.path.read_bytes()))
    assert kept.load() is None
    assert capsys.readouterr().err == f"warning: {kept.path} is damaged; training begins anew\n"
    kept.save({"step": 4})
    assert kept.load() == {"step": 4}


HOLD = """
import sys, time
from pathlib import Path
from cxr.compute.checkpoint import locked
with locked(Path(sys.argv[1]), "train"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_run_waits_and_then_names_the_holder(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "LOCK_SECONDS", 0.5)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path], env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        begun = time.monotonic()
        with pytest.raises(UserError, match=f"train is still running as process {holder.pid}"), locked(tmp_path, "train"):
            pass
        assert time.monotonic() - begun >= 0.5
        holder.kill()
        holder.wait()
    with locked(tmp_path, "train"), locked(tmp_path, "other"):  # free again, though its holder was killed
        pass


def test_the_lock_is_free_after_the_block_whoever_still_holds_the_object(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "LOCK_SECONDS", 0.1)
    made = []
    monkeypatch.setattr(checkpoint, "FileLock", lambda path: made.append(FileLock(path)) or made[-1])
    for _ in range(2):
        with locked(tmp_path, "train"):
            assert made[-1].is_locked
        assert not made[-1].is_locked
    assert not (tmp_path / "train.pid").exists()


def test_a_holder_that_nobody_knows_is_called_unknown(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "LOCK_SECONDS", 0.1)
    with FileLock(tmp_path / "train.lock"):
        (tmp_path / "train.pid").touch()  # of a disk that was full
        with pytest.raises(UserError, match="train is still running as process unknown"), locked(tmp_path, "train"):
            pass
