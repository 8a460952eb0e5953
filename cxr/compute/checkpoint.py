"""Resumable training state, outside DVC's outputs, because DVC removes those before it reruns a stage."""

import hashlib
import io
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from cxr.foundation.errors import UserError
from cxr.foundation.files import replacing

LOCK_SECONDS = 30
DIGEST = hashlib.sha256().digest_size  # bytes at the beginning of a file: the SHA-256 of the rest


class Checkpoint:
    """The state of one training run, in a file named by all that the run depends on.

    A run with other parameters, data, code or versions has another name, so that it can never pick this one up.
    """

    def __init__(self, folder: Path, name: str, identity: Mapping[str, Any]) -> None:
        """Name the file after `name` and `identity`, which JSON must be able to hold."""
        everything = json.dumps(identity, sort_keys=True)
        self.path = folder / f"{name}-{hashlib.sha256(everything.encode()).hexdigest()[:16]}.pt"

    def save(self, state: Mapping[str, Any]) -> None:
        """Write `state` (tensors, numbers, texts, lists and dicts of them), whole or not at all."""
        buffer = io.BytesIO()  # torch itself would tell a full disk as an internal error
        torch.save(dict(state), buffer)
        content = buffer.getbuffer()
        with replacing(self.path, ours=True) as temporary, temporary.open("wb") as file:
            file.write(hashlib.sha256(content).digest())
            file.write(content)

    def load(self) -> dict[str, Any] | None:
        """Return the saved state; None when there is none, and, with a warning, when a disk did not keep what was written."""
        if not self.path.exists():
            return None
        written = self.path.read_bytes()
        digest, content = written[:DIGEST], written[DIGEST:]
        if hashlib.sha256(content).digest() != digest:
            sys.stderr.write(f"warning: {self.path} is damaged; training begins anew\n")
            return None
        state: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
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
    holder = folder / f"{name}.pid"
    try:
        lock = FileLock(folder / f"{name}.lock").acquire(timeout=LOCK_SECONDS)
    except Timeout:
        number = holder.read_text().strip() if holder.is_file() else ""
        raise UserError(f"{name} is still running as process {number or 'unknown'}; wait for it or stop it") from None
    with lock:
        try:
            holder.write_text(str(os.getpid()))
            yield
        finally:
            holder.unlink(missing_ok=True)
