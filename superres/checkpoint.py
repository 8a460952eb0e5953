"""Resumable training state, outside DVC's outputs, because DVC removes those before it reruns a stage."""

import fcntl
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from superres.errors import UserError
from superres.files import replacing

LOCK_SECONDS = 30


class Checkpoint:
    """The state of one training run, in a file named by all that the run depends on.

    A run with other parameters, data, code or versions has another name, so that it can never pick this one up.
    """

    def __init__(self, folder: Path, name: str, identity: Mapping[str, Any]) -> None:
        """Name the file after `name`, the code that is loaded now, and `identity`, which JSON must be able to hold."""
        everything = json.dumps([identity, _code_digest(), torch.__version__], sort_keys=True)
        self.path = folder / f"{name}-{hashlib.sha256(everything.encode()).hexdigest()[:16]}.pt"

    def save(self, state: Mapping[str, Any]) -> None:
        """Write `state` (tensors, numbers, texts, lists and dicts of them), whole or not at all."""
        with replacing(self.path) as temporary:
            torch.save(dict(state), temporary)

    def load(self) -> dict[str, Any] | None:
        """Return the saved state, or None when there is none."""
        if not self.path.exists():
            return None
        state: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
        return state

    def remove(self) -> None:
        """Forget the saved state: what it led to has been written."""
        self.path.unlink(missing_ok=True)


@contextmanager
def locked(folder: Path, name: str) -> Iterator[None]:
    """Keep other processes out of `name`'s checkpoints in `folder`: a killed dvc leaves its trainer running.

    Raises UserError with the holder's process id when the lock is not free within LOCK_SECONDS.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.lock"
    with path.open("a+") as file:
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    holder = path.read_text().strip() or "unknown"
                    raise UserError(f"{name} is still running as process {holder}; wait for it or stop it") from None
                time.sleep(0.2)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _code_digest() -> str:
    """Return the SHA-256 of the project's source files that this process has loaded."""
    digest = hashlib.sha256()
    for name, module in sorted(sys.modules.items()):
        if name.startswith("superres") and getattr(module, "__file__", None):
            digest.update(f"{name} {hashlib.sha256(Path(str(module.__file__)).read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()
