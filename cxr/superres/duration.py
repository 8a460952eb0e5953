"""How long the training of a model took: a note beside the checkpoints, since equal models may take unequal times."""

import hashlib
import json
from pathlib import Path

from cxr.foundation.files import write_json


def note(folder: Path, network: str, model: Path, seconds: float) -> None:
    """Write to `folder` that the training of `network`, which led to the file `model`, took so many `seconds`."""
    write_json(_note(folder, network), {"model": _digest(model), "minutes": round(seconds / 60, 2)})


def minutes(folder: Path, network: str, model: Path) -> float | None:
    """Return how long the training took that led to the file `model`; None where `folder` has no note of that model."""
    path = _note(folder, network)
    if not path.is_file():
        return None
    noted = json.loads(path.read_text(encoding="utf-8"))
    return float(noted["minutes"]) if noted["model"] == _digest(model) else None


def _note(folder: Path, network: str) -> Path:
    return folder / f"{network}.minutes.json"


def _digest(model: Path) -> str:
    return hashlib.sha256(model.read_bytes()).hexdigest()
