"""The end of a process whose parent has gone."""

import os
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

SECONDS = 0.5  # between two looks


def stop_without_parent(parent: int | None = None, told: bool = True) -> None:
    """Watch, in a thread, and end this process at once when its `parent`, by default the present one, has gone.

    A killed dvc leaves its stage running, which would write beside the next run; a killed stage leaves its workers waiting. If
    it is to be `told`, the process says so.
    """
    watched = 0 if parent is None and _orphaned() else parent or os.getppid()
    threading.Thread(target=_watch, args=(watched, told), name="parent", daemon=True).start()


def _watch(parent: int, told: bool) -> None:
    while os.getppid() == parent:
        time.sleep(SECONDS)
    if told:
        with suppress(OSError, ValueError):  # whoever read it may have gone, too
            sys.stderr.write("error: the process that started this one has gone; stopped\n")
            sys.stderr.flush()
    os._exit(1)  # without cleaning up, which might take long, and write


def _orphaned() -> bool:
    """Tell whether the dvc that started this process went before Python had begun: the first process took this one over."""
    if "DVC_ROOT" not in os.environ or os.getppid() != 1:
        return False
    try:
        first = Path("/proc/1/cmdline").read_bytes().split(b"\0")[0]
    except OSError:
        return False
    return not any(each in Path(os.fsdecode(first)).name for each in ("sh", "dvc", "python"))  # as in a container
