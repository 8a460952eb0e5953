"""The server's side of a worker process: who is next, and what happens when the process dies, hangs or grows old."""

import asyncio
import fcntl
import multiprocessing
import os
import shutil
import sys
import tempfile
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import IO, NamedTuple, cast

from cxr.foundation.errors import UserError
from cxr.viewed import Piece
from cxr.web import work
from cxr.web.tasks import Answer, Draw, Export, Failed, Know, Open, Ready, Task

IN_MEMORY = Path("/dev/shm")  # noqa: S108 - a private folder is made in it
"""Where Linux keeps files in memory."""
PREFIX, LOCK = "cxr-serve-", "lock"
STOPPED = "the server could not finish this; its worker process stopped. Try again, or leave this file out"
URGENCY = {Open: 0, Draw: 0, Know: 1, Piece: 2, Export: 3}
"""Of one browser's tasks, which come first."""


class FullError(Exception):
    """Too much waits already."""


class Limits(NamedTuple):
    """What a worker process may take."""

    memory: int = 12 << 30
    """Bytes of address space, where there is no GPU, whose driver reserves more than is used."""
    seconds: float = 120.0
    """For one task."""
    start_seconds: float = 120.0
    """Until it is ready."""
    files: int = 200
    """After so many it is replaced, so that nothing that a library leaks adds up."""
    waiting: int = 64
    """Tasks of a browser, beyond which no further one is taken."""
    all_waiting: int = 1024
    pixels: int = 30_000_000
    """Of a radiograph."""


class Waiting(NamedTuple):
    """A task, and how soon it is wanted."""

    urgency: int
    distance: float
    """From the cursor, of tiles."""
    number: int
    """In the order in which they came."""
    task: Task
    answer: "asyncio.Future[Answer]"


class Worker:
    """One process that answers one task at a time, and is replaced when it cannot."""

    def __init__(self, network: str, limits: Limits = Limits()) -> None:  # noqa: B008 - a tuple
        self.network, self.limits, self.ready = network, limits, Ready("", "", ())
        self.replaced = 0
        """How often a process was ended."""
        self._folder, self._lock = _private_folder()
        self._queues: OrderedDict[str, list[Waiting]] = OrderedDict()
        self._number, self._served = 0, 0
        self._wake = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "worker")
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._now: Waiting | None = None

    def begin(self) -> None:
        """Start the process. Raises UserError when it cannot be."""
        self._thread.submit(self._started).result()

    def close(self) -> None:
        """End the process, whatever it does, and leave no file."""
        self._kill()
        self._thread.submit(self._end).result()
        self._thread.shutdown()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._lock.close()

    @asynccontextmanager
    async def taking_turns(self) -> AsyncIterator[None]:
        """Let tasks be answered, in this event loop."""
        self._wake = asyncio.Event()
        turns = asyncio.create_task(self._take_turns())
        yield
        turns.cancel()
        self._kill()
        with suppress(asyncio.CancelledError):
            await turns

    async def ask(self, task: Task, browser: str, distance: float = 0.0) -> Answer:
        """Return the answer to a `task` of `browser`.

        Browsers take turns; of one browser's tiles the one at the least `distance` comes first. Who does not wait any longer,
        being cancelled, gives up the turn, and an export that has begun is stopped.
        Raises FullError when too much waits already.
        """
        own = sum(not each.answer.cancelled() for each in self._queues.get(browser, ()))
        if own >= self.limits.waiting or self.waiting >= self.limits.all_waiting:
            raise FullError
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._number += 1
        waiting = Waiting(URGENCY[type(task)], distance, self._number, task, answer)
        self._queues.setdefault(browser, []).append(waiting)
        self._wake.set()
        try:
            return await answer
        finally:
            if answer.cancelled() and self._now is waiting and isinstance(task, Export):
                self._kill()
            answer.cancel()

    @property
    def waiting(self) -> int:
        """Return how many tasks wait that somebody still wants."""
        return sum(not each.answer.cancelled() for queue in self._queues.values() for each in queue)

    def _next(self) -> Waiting | None:
        for browser, queue in list(self._queues.items()):
            queue[:] = [each for each in queue if not each.answer.cancelled()]
            if not queue:
                del self._queues[browser]
        if not self._queues:
            return None
        browser, queue = next(iter(self._queues.items()))
        self._queues.move_to_end(browser)
        chosen = min(queue, key=lambda each: each[:3])
        queue.remove(chosen)
        return chosen

    async def _take_turns(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._now = self._next()
            if self._now is None:
                self._wake.clear()
                await self._wake.wait()
                continue
            chosen = self._now
            answer = await loop.run_in_executor(self._thread, self._answer, chosen)
            if not chosen.answer.done():
                chosen.answer.set_result(answer)

    def _answer(self, waiting: Waiting) -> Answer:
        """Return the process's answer; a process that was killed is replaced, and asked again once."""
        for _ in range(2):
            if waiting.answer.cancelled():
                break
            late = threading.Event()
            watch = threading.Timer(self.limits.seconds, self._give_up, [late])
            try:
                pipe = self._started()
                watch.start()  # of sending, too, which waits for a process that hangs
                pipe.send(waiting.task)
                answer = cast(Answer, pipe.recv())
            except UserError as error:  # no process can be started
                return Failed(str(error))
            except Exception as error:  # whatever it is, the process is ended, and others must be answered
                self._end()
                if not waiting.answer.cancelled():  # its type alone, since a message could quote a file
                    sys.stderr.write(f"the worker process was ended: {type(error).__name__}\n")
                if late.is_set():
                    return Failed(f"the server did not finish this within {self.limits.seconds:g} seconds; leave this file out")
                continue
            finally:
                watch.cancel()
            self._served += isinstance(waiting.task, (Open, Draw, Export))
            if self._served >= self.limits.files:
                self._end()
            return answer
        return Failed(STOPPED)

    def _started(self) -> Connection:
        """Return the pipe to the process, started if there is none. Raises UserError when it does not come up."""
        if self._process and self._pipe and self._process.is_alive():
            return self._pipe
        self._end()
        context = multiprocessing.get_context("spawn")
        try:
            self._pipe, theirs = context.Pipe()
            arguments = theirs, self.network, str(self._folder), self.limits.memory, self.limits.pixels
            process = context.Process(target=work.run, args=arguments, name="cxr-worker", daemon=True)
            process.start()
            self._process = process
            theirs.close()
            if not self._pipe.poll(self.limits.start_seconds):
                raise EOFError
            said = self._pipe.recv()
        except (EOFError, OSError):
            self._end()
            raise UserError("the worker process does not start; see whether cxr enhance runs") from None
        if isinstance(said, Failed):
            self._end()
            raise UserError(said.reason)
        self.ready = said
        return self._pipe

    def _give_up(self, late: threading.Event) -> None:
        late.set()
        self._kill()

    def _kill(self) -> None:
        """Kill the process, from any thread; whoever waits for its answer learns that it is gone."""
        if process := self._process:
            with suppress(ValueError, AttributeError):  # it is closed already
                process.kill()

    def _end(self) -> None:
        """End the process, whatever it does, and forget what it had open."""
        if self._pipe:
            self._pipe.close()
        if self._process:
            self._process.kill()
            self._process.join()
            self.replaced += 1
        self._process = self._pipe = None
        self._served = 0
        for path in self._folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != LOCK:
                path.unlink(missing_ok=True)

    @property
    def process_id(self) -> int | None:
        """Return the process's id, if there is one."""
        return self._process.pid if self._process else None


def _private_folder() -> tuple[Path, IO[bytes]]:
    """Return a new folder of this user alone, in memory if there is such a place, and a lock that says that it is in use.

    Folders of this user whose lock nobody holds, since their server was killed, are removed.
    """
    place = IN_MEMORY if IN_MEMORY.is_dir() else Path(tempfile.gettempdir())
    for folder in place.glob(f"{PREFIX}*"):
        with suppress(OSError):  # such as another user's, or one that somebody holds
            if folder.stat().st_uid == os.getuid() and (folder / LOCK).is_file():
                with (folder / LOCK).open("rb") as left:
                    fcntl.flock(left, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder, ignore_errors=True)
    made = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
    lock = (made / LOCK).open("wb")
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return made, lock
