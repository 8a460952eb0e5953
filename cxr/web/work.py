"""The worker process: it alone decodes files and runs networks, one task at a time, and keeps nothing of any."""

import resource
import signal
import tempfile
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

from cxr.foundation.errors import UserError
from cxr.web.tasks import Answer, Failed, Ready, Task

GPU = Path("/dev/nvidiactl")
"""There, where there is a GPU: its driver reserves addresses for more memory than is used."""


def run(pipe: Connection, network: str, folder: str, memory: int, most_pixels: int) -> None:
    """Answer the tasks that come through `pipe` until it is closed, by the model `network`.

    Files lie in `folder`, which should be in memory, only while one task reads or writes them. More than `memory` bytes cannot
    be had.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which closes the pipe
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # which would hold a radiograph
    if not GPU.exists():
        most = resource.getrlimit(resource.RLIMIT_AS)[1]
        memory = memory if most == resource.RLIM_INFINITY else min(memory, most)
        with suppress(ValueError, OSError):  # where the system has no such limit
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    tempfile.tempdir = folder
    from cxr.web.answers import Answers  # noqa: PLC0415 - torch, once the limits are set

    try:
        answers = Answers(network, Path(folder), most_pixels)
    except UserError as error:
        pipe.send(Failed(str(error)))
        return
    pipe.send(Ready(answers.title, answers.model.digest, tuple(answers.model.networks)))
    with suppress(EOFError, BrokenPipeError):
        while True:
            pipe.send(_answered(answers.to, pipe.recv()))


def _answered(answer: Callable[[Task], Answer], task: Task) -> Answer:
    """Return the answer, or one line that quotes nothing of the file: damaged ones lead libraries anywhere."""
    try:
        return answer(task)
    except MemoryError:
        return Failed("it needs more memory than the server gives to one radiograph")
    except Exception as error:
        return Failed(f"the server failed at this ({type(error).__name__}); leave this file out")
