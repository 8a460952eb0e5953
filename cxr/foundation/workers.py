"""Work spread over the cores of this machine, or over a Dask cluster, through one interface: `concurrent.futures.Executor`."""

import hashlib
import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TypeVar

import cv2

from cxr.foundation.environment import versions
from cxr.foundation.errors import UserError
from cxr.foundation.parent import exit_with_parent
from cxr.foundation.place import PACKAGE

Item = TypeVar("Item")
Result = TypeVar("Result")

IN_FLIGHT = 4  # items handed out per worker: enough to keep all busy, few enough to keep memory flat
CONNECT_SECONDS = 10


def in_order(
    job: Callable[[Item], Result], items: Sequence[Item], processes: int, cluster: str, folder: Path
) -> Iterator[Result]:
    """Yield job(item) for each of `items` in order, worked out a few items ahead.

    With the address of a Dask scheduler as `cluster` by its workers, which must see `folder` and hold this very code; else
    in `processes` processes, or in this one when that is 1. `job` must be a function of a module, or a partial of one.
    Raises UserError when the cluster does not answer, has no workers, its workers are strangers, or it loses them.
    """
    if processes == 1 and not cluster:
        yield from map(job, items)
        return
    with _cluster(cluster, folder) if cluster else _processes(processes) as (executor, workers):
        waiting = iter(items)
        running: deque[Future[Result]] = deque()
        try:
            for item in islice(waiting, IN_FLIGHT * workers):
                running.append(executor.submit(job, item))
            while running:
                result = running.popleft().result()
                for item in islice(waiting, 1):
                    running.append(executor.submit(job, item))
                yield result
        finally:
            for future in running:
                future.cancel()


@contextmanager
def _processes(count: int) -> Iterator[tuple[Executor, int]]:
    # Spawned, not forked: a fork of a process in which threads run (OpenCV's, tqdm's) can hang.
    with ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), _start_worker) as pool:
        yield pool, count


def _start_worker() -> None:
    """Leave Ctrl-C to the parent, which then ends the workers, end when it has gone, and leave the cores to other workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    exit_with_parent(parent.pid if parent else None)
    cv2.setNumThreads(1)


@contextmanager
def _cluster(address: str, folder: Path) -> Iterator[tuple[Executor, int]]:
    # Only where it is asked for: it takes most of a second.
    from dask.distributed import Client, KilledWorker, Security  # noqa: PLC0415
    from distributed.comm.addressing import get_address_host_port  # noqa: PLC0415

    where = f"runtime.cluster {address!r}"
    try:
        # First: a client that is given nonsense stays half open, and locks up Dask when a thread of Dask's collects it.
        get_address_host_port(address)
        if address.startswith("tls://") and not Security().get_connection_args("client")["ssl_context"]:
            raise ValueError("Dask's configuration names no certificates, distributed.comm.tls")
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{where}: no Dask scheduler answers there ({reason}); start one, or leave it empty") from None
    with client:
        try:
            found = client.run(code_and_folder_fingerprint, str(folder))
        except ModuleNotFoundError:
            raise UserError(f"{where}: its workers cannot import the project; start them in this folder") from None
        if not found:
            raise UserError(f"{where}: it has no workers; start some, in this folder")
        for worker, (code, sees) in found.items():
            if code != code_and_folder_fingerprint(str(folder))[0]:
                raise UserError(
                    f"{where}: the worker {worker} runs other code or packages than this; start it again, in this folder"
                )
            if not sees:
                raise UserError(f"{where}: the worker {worker} does not see {folder}; the folder must be shared")
        try:
            yield client.get_executor(pure=False), sum(client.nthreads().values())
        except (KilledWorker, CancelledError) as error:
            raise UserError(f"{where}: its workers were lost ({type(error).__name__}); start them and run it again") from None


def code_and_folder_fingerprint(folder: str) -> tuple[str, bool]:
    """Return the SHA-256 (hex) of the code and packages where this runs, and whether `folder` can be seen from there."""
    digest = hashlib.sha256(repr(versions()).encode())
    for path in sorted(PACKAGE.rglob("*.py")):
        digest.update(f"{path.relative_to(PACKAGE).as_posix()} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest(), Path(folder).is_dir()
