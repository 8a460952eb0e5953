"""A tiny run of the pipeline, in process, that tests of single stages share."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from benchmarks import cuda
from stages import check, detect, train_detector
from tests.support import warm
from tests.support.tiny import TINY

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before onnxruntime is imported, which would look up a host


# What `make quick` leaves out: whatever starts processes, trains, or runs whole stages.
SLOW = (
    *("pipeline", "stages", "sources", "detection", "compute/test_ranks", "compute/test_device", "superres/test_trainer"),
    "superres/test_evaluation",
    *(
        "compute/test_soap",
        "compute/test_checkpoint",
        "foundation/test_workers",
        "foundation/test_parent",
        "superres/test_model",
    ),
    *("architecture/test_a_further_network", "architecture/test_architecture", "cli/test_enhance"),
    *("formats/test_decoder", "formats/test_bounded", "web"),
)

# What `make test` leaves to `make test-long`: whole pipelines, processes that are killed, full disks, the page's server.
LONG = (
    *(f"pipeline/test_{name}" for name in ("benchmarks", "disk", "fuzz", "pipeline", "report")),
    *("web/test_fuzz", "web/test_server", "web/test_worker"),
    *("architecture/test_a_further_network", "cli/test_calls_home", "compute/test_ranks"),
    *("foundation/test_provenance", "stages/test_detect", "stages/test_trial", "stages/test_tuberculosis"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as long what is in LONG, as slow that and SLOW, and what needs a workspace in which every stage has run."""
    for item in items:
        name = item.path.relative_to(Path(__file__).parent).as_posix()
        if name.startswith((*SLOW, *LONG)) or "finished" in getattr(item, "fixturenames", ()):
            item.add_marker("slow")
        if name.startswith(LONG):
            item.add_marker("long")


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)  # the tests themselves run in parallel


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Return a workspace in which every stage has run; for reading only. All test processes share one."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent  # of all processes of this run
    workspace = shared / "finished"
    with FileLock(shared / "finished.lock"):
        if not (workspace / "done").exists():
            shutil.rmtree(workspace, ignore_errors=True)  # of a process that stopped half-way
            workspace.mkdir()
            seconds = cuda.run(workspace, TINY)  # all stages but these three, timed as on a GPU
            for stage in (check, train_detector, detect):
                stage.run(workspace)
            (workspace / "seconds.json").write_text(json.dumps(seconds))
            (workspace / "done").touch()
    return workspace


@pytest.fixture(scope="session")
def warm_commands(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Return a folder with commands `python` and `dvc` that start at once: see `tests.support.warm`."""
    own = tmp_path_factory.getbasetemp()
    shared, watched = (own, os.getpid()) if worker_id == "master" else (own.parent, os.getppid())
    with FileLock(shared / "warm.lock"):
        return warm.start(shared, watched)


@pytest.fixture
def workspace(finished: Path, tmp_path: Path) -> Path:
    """Return a copy of the finished workspace that a test may change."""
    copy = tmp_path / "workspace"
    shutil.copytree(finished, copy)
    return copy


@pytest.fixture
def unlimited(monkeypatch):
    """Leave the limits of bundled networks out, so that small drawings are enhanced at full strength."""
    monkeypatch.setattr("cxr.superres.limits.FILE", "none.csv")
