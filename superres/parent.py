"""The end of a process whose parent has gone."""

import os
import sys
import threading
import time
from contextlib import suppress

SECONDS = 0.5  # between two looks


def stop_without_parent(told: bool = True) -> None:
    """Watch, in a thread, and end this process at once when the one that started it has gone; say so if it is to be `told`.

    A killed dvc leaves its stage running, which would write beside the next run; a killed stage leaves its workers waiting.
    """
    threading.Thread(target=_watch, args=(os.getppid(), told), name="parent", daemon=True).start()


def _watch(parent: int, told: bool) -> None:
    while os.getppid() == parent:
        time.sleep(SECONDS)
    if told:
        with suppress(OSError, ValueError):  # whoever read it may have gone, too
            print(f"error: process {parent}, which started this one, has gone; stopped", file=sys.stderr, flush=True)
    os._exit(1)  # without cleaning up, which might take long, and write
