"""How long the training of a model took: a note beside the checkpoints, since equal models may take unequal times."""

import hashlib
from pathlib import Path

from cxr.foundation.files import write_json


def note(folder: Path, network: str, model: Path, seconds: float) -> None:
    """Write to `folder` that the training of `network`, which led to the file `model`, took so many `seconds`."""
    write_json(place(folder, network), {"model": digest(model), "minutes": round(seconds / 60, 2)})


def place(folder: Path, network: str) -> Path:
    """Return where `folder` has the note of `network`."""
    return folder / f"{network}.minutes.json"


def digest(model: Path) -> str:
    """Return by what a note knows the file `model`: its SHA-256."""
    return hashlib.sha256(model.read_bytes()).hexdigest()
