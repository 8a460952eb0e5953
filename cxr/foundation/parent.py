"""The end of a process whose parent has gone."""

import ctypes
import os
import signal
import sys
import threading
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1  # prctl(2): the signal that Linux is to send when the parent has gone
SECONDS = 0.5  # between two looks where there is no such thing


def exit_with_parent(parent: int | None = None) -> None:
    """Let this process end at once when its parent has gone, which is `parent` or, if that is None, the present one.

    A killed dvc leaves its stage running, which would write beside the next run; a killed stage leaves its workers waiting.
    Nothing is cleaned up, which might take long, and write.
    """
    watched = os.getppid() if parent is None else parent
    if sys.platform == "linux":  # by the system, since a thread could not look while an import holds Python's lock
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        threading.Thread(target=_watch, args=(watched,), name="parent", daemon=True).start()
    if os.getppid() != watched or _left_by_dvc():
        os._exit(1)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(SECONDS)
    os._exit(1)


def _left_by_dvc() -> bool:
    """Tell whether the dvc that started this process went before Python had begun: the first process took this one over."""
    if "DVC_ROOT" not in os.environ or os.getppid() != 1:
        return False
    try:
        first = Path("/proc/1/cmdline").read_bytes().split(b"\0")[0]
    except OSError:
        return False
    return not any(each in Path(os.fsdecode(first)).name for each in ("sh", "dvc", "python"))  # as in a container
