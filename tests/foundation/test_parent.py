"""What a parent that has gone leaves behind: nothing."""

import ast
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.support.tiny import ROOT, ended

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}

# A child that works, deaf to all but time, with its parent in between, as dvc is.
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", *sys.argv[1:]])
print(child.pid, flush=True)
child.wait()
"""
CHILD = """
import sys, time
sys.platform = sys.argv[2]
from pathlib import Path
from cxr.foundation.parent import exit_with_parent
exit_with_parent()
Path(sys.argv[1]).touch()
time.sleep(60)
Path(sys.argv[1]).with_name("written").touch()
"""
POOL = """
import sys, time
from pathlib import Path
from cxr.foundation.workers import in_order
if __name__ == "__main__":
    for result in in_order(time.sleep, [0.01] * 10_000, 2, "", Path()):
        print(flush=True)
"""


@pytest.mark.parametrize("system", ["linux", "darwin"])
def test_a_child_ends_within_two_seconds_of_its_parent_and_no_earlier(tmp_path, system):
    started = tmp_path / "started"
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, CHILD, str(started), system], env=ENVIRONMENT, stdout=-1, text=True
    ) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        while not started.exists():
            time.sleep(0.05)
        assert not ended(child, 1.5)  # as long as the parent lives, so does the child
        parent.send_signal(signal.SIGKILL)
        assert ended(child, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["started"]


def test_workers_end_with_the_stage_that_started_them(tmp_path):
    script = tmp_path / "pool.py"
    script.write_text(POOL)
    with subprocess.Popen([sys.executable, str(script)], env=ENVIRONMENT, stdout=-1, stderr=-2) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()  # the workers work
        workers = psutil.Process(parent.pid).children(recursive=True)
        assert len(workers) >= 2
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        outlived = [worker for worker in workers if not ended(worker, 2)]
        for worker in outlived:
            worker.kill()
        assert not outlived


def test_every_stage_ends_with_its_parent():
    for path in sorted(Path(ROOT / "stages").glob("*.py")):
        body = [node for node in ast.parse(path.read_text()).body if not isinstance(node, ast.Expr)]
        if body:
            assert ast.unparse(body[0]).endswith("exit_with_parent()"), path  # before anything that takes time
