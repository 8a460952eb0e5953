"""Trained weights and what they are, as one safetensors file: loading it runs no code."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from cxr.foundation.errors import UserError
from cxr.foundation.files import replacing

# One key, because the library writes several in random order and equal models must have equal bytes.
KEY = "model"

Weights = dict[str, Tensor]


def write(path: Path, networks: Mapping[str, Weights], description: Mapping[str, Any]) -> None:
    """Write the weights of `networks` by name, with `description`, which JSON must be able to hold."""
    tensors = {f"{name}.{key}": tensor.contiguous() for name, weights in networks.items() for key, tensor in weights.items()}
    metadata = {KEY: json.dumps(description, sort_keys=True, separators=(",", ":"), allow_nan=False)}
    with replacing(path) as temporary:
        temporary.write_bytes(save(tensors, metadata))


def read(path: Path) -> tuple[dict[str, Weights], dict[str, Any]]:
    """Return the weights by network and the description that `write` was given.

    Raises UserError when the file is missing or was not written by `write`.
    """
    networks: dict[str, Weights] = {}
    try:
        with safe_open(path, framework="pt") as file:
            description = dict(json.loads((file.metadata() or {})[KEY]))
            for name in sorted(file.keys()):
                network, _, key = name.partition(".")
                networks.setdefault(network, {})[key] = file.get_tensor(name)
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run dvc repro, which trains it, or name another model") from None
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise UserError(f"{path} is no model of this project ({' '.join(str(error).split())}); train it again") from None
    if not all(tensor.isfinite().all() for weights in networks.values() for tensor in weights.values()):
        raise UserError(f"{path} holds weights that are no numbers; train it again")
    return networks, description
