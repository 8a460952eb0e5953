"""Compressed pixels of DICOM files, decoded in a process of its own: damaged ones crash, hang or fill the memory."""

import atexit
import io
import json
import os
import site
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path

import numpy as np

from cxr.formats.dicom.compressed import decoding
from cxr.formats.dicom.compressed.decoding import Stored, memory, seconds
from cxr.foundation import parent
from cxr.foundation.errors import UserError
from cxr.foundation.place import ROOT

_START = 60.0  # seconds that the process may take to begin
_LONGEST = 1 << 16  # bytes of an answer, without the pixels
_PASSED = (
    *("LANG", "LC_ALL", "LC_CTYPE", "SYSTEMROOT"),
    *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH"),
)
"""What the process is told of this one's environment: the language, and where libraries are. Credentials may be in the rest."""


def decoded(path: Path, shape: tuple[int, int]) -> Stored:
    """Return the stored values, of `shape` (H, W), of the compressed image in the DICOM file `path`.

    Safe with threads, which wait for each other, and with forks, each of which starts a process of its own.
    Raises ValueError when they cannot be decoded within the limits of time and memory, which grow with the pixels.
    Linux limits both; elsewhere time is limited alone. UserError when the process does not start.
    """
    return _DECODERS.setdefault(os.getpid(), _Decoder()).decoded(path, shape)


class _Decoder:
    """A process that decodes, started when it is needed, which ends with the one that made this."""

    def __init__(self) -> None:
        self._lock, self._owner = threading.Lock(), os.getpid()
        self._process: subprocess.Popen[bytes] | None = None

    def decoded(self, path: Path, shape: tuple[int, int]) -> Stored:
        most = seconds(shape[0] * shape[1])
        request = json.dumps([str(path.resolve()), *shape]).encode() + b"\n"  # it may have started in another folder
        found, late = None, False
        with self._lock:
            try:
                process = self._running()
                clock, begun = threading.Timer(most, process.kill), time.monotonic()
                clock.daemon = True
                clock.start()
                try:
                    found = _exchange(process, request, shape)
                finally:
                    clock.cancel()
                late = time.monotonic() - begun >= most
            finally:
                if found is None or late:  # also after Ctrl-C: nobody waits for what it would answer
                    self.end()
        if isinstance(found, str):
            raise ValueError(found)
        if found is not None:
            return found
        if late:
            raise ValueError(f"decoding took more than {most:.0f} s")
        limit = memory(shape[0] * shape[1]) >> 20
        raise ValueError(f"compressed pixels so damaged that decoding them crashes or takes more than {limit:,} MB")

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.end()
        atexit.unregister(self.end)
        atexit.register(self.end)
        ready: Future[subprocess.Popen[bytes]] = Future()
        threading.Thread(target=self._keep, args=(ready,), name="decoder", daemon=True).start()
        try:
            return ready.result(_START)
        except (OSError, TimeoutError) as error:
            raise UserError(f"The process that decodes compressed DICOM files does not start: {error or 'too slow'}") from error

    def _keep(self, ready: "Future[subprocess.Popen[bytes]]") -> None:
        """Start the process, and stay while it runs: Linux ends it with the thread that has started it."""
        # -P, and this package's place last: nothing in the folder that this process works in is imported, which radiographs of
        # strangers may lie in.
        code = (
            f"import sys; sys.path.append({str(ROOT)!r}); from {parent.__name__} import exit_with_parent; "
            f"exit_with_parent({os.getpid()}); from {decoding.__name__} import main; main()"
        )
        try:
            process = self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", code],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={name: os.environ[name] for name in _PASSED if name in os.environ}
                | {
                    "OPENBLAS_NUM_THREADS": "1",
                    "PYTHONUSERBASE": site.getuserbase(),  # for which Python would ask the system, without a home
                },
                start_new_session=True,  # so that Ctrl-C, which is for this process, does not look like a crash
            )
            assert process.stdout is not None
            if not process.stdout.read(1):
                raise OSError("it ends at once")
        except OSError as error:
            ready.set_exception(error)
        else:
            ready.set_result(process)
            process.wait()

    def end(self) -> None:
        """End the process, if this is not a fork of the one that it belongs to."""
        process, self._process = self._process, None
        if process is not None and os.getpid() == self._owner:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(OSError):  # what nobody has read
                        pipe.close()


_DECODERS: dict[int, _Decoder] = {}
"""By the number of the process that has one: what a fork inherits is not its own."""


def _exchange(process: subprocess.Popen[bytes], request: bytes, shape: tuple[int, int]) -> Stored | str | None:
    """Return the values (H, W), why there are none, or None if the `process` has ended or answers nonsense."""
    assert process.stdin is not None
    assert isinstance(process.stdout, io.BufferedReader)
    try:
        process.stdin.write(request)
        process.stdin.flush()
        answer = json.loads(process.stdout.readline(_LONGEST))
    except (OSError, ValueError):
        return None
    if answer is not None:
        return str(answer)
    stored = np.empty(shape, np.int32)
    return stored if process.stdout.readinto(stored.data.cast("B")) == stored.nbytes else None
