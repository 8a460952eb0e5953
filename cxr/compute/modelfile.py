"""Trained weights and what they are, as one safetensors file: loading it runs no code."""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from cxr.foundation.errors import UserError
from cxr.foundation.files import refuse_special, replacing

# One key, because the library writes several in random order and equal models must have equal bytes.
KEY = "model"

Weights = dict[str, Tensor]

# What is read at most. A network of this project has some MB, and its header, with the description in it, some thousand bytes.
MOST_BYTES, MOST_OF_HEADER = 1 << 28, 1_000_000
MOST_OF_REASON = 200  # characters of what a library says of a file
DEEPEST = 8
"""How far a description is nested at most."""
KINDS = torch.float16, torch.bfloat16, torch.float32
"""What weights may be kept in."""


def write(path: Path, networks: Mapping[str, Weights], description: Mapping[str, Any]) -> None:
    """Write the weights of `networks` by name, with `description`, which JSON must be able to hold."""
    tensors = {f"{name}.{key}": tensor.contiguous() for name, weights in networks.items() for key, tensor in weights.items()}
    metadata = {KEY: json.dumps(description, sort_keys=True, separators=(",", ":"), allow_nan=False)}
    with replacing(path) as temporary:
        temporary.write_bytes(save(tensors, metadata))


def read(path: Path) -> tuple[dict[str, Weights], dict[str, Any]]:
    """Return the weights by network and the description that `write` was given.

    Weights are finite and of KINDS; the description is a JSON object without NaN, nested by up to DEEPEST. What it says, and
    which weights there are, is for the caller to check.
    Raises UserError when the file is missing, is larger than MOST_BYTES, or was not written by `write`.
    """
    networks: dict[str, Weights] = {}
    refuse_special(path)
    try:
        _refuse_large(path)
        with safe_open(path, framework="pt") as file:
            description = json.loads((file.metadata() or {})[KEY], parse_constant=_refuse_constant)
            if not isinstance(description, dict) or _deeper(description, DEEPEST):
                raise ValueError(f"its description is no JSON object of up to {DEEPEST} levels")
            for name in sorted(file.keys()):
                network, _, key = name.partition(".")
                networks.setdefault(network, {})[key] = file.get_tensor(name)
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run dvc repro, which trains it, or name another model") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder; name a model file") from None
    except (SafetensorError, struct.error, KeyError, ValueError, TypeError, RecursionError) as error:
        reason = " ".join(str(error).split())[:MOST_OF_REASON]
        raise UserError(f"{path} is no model of this project ({reason}); train it again") from None
    tensors = [tensor for weights in networks.values() for tensor in weights.values()]
    if not all(tensor.dtype in KINDS and tensor.isfinite().all() for tensor in tensors):
        raise UserError(f"{path} holds weights that are no numbers of 16 or 32 bits; train it again")
    return networks, description


def _refuse_large(path: Path) -> None:
    """Raise UserError or ValueError when the file, or the header that it claims (8 bytes at its start), is too large."""
    if path.stat().st_size > MOST_BYTES:
        raise UserError(f"{path} has more than {MOST_BYTES:,} bytes, so it is no model of this project; name another model")
    with path.open("rb") as file:
        (header,) = struct.unpack("<Q", file.read(8))
    if header > MOST_OF_HEADER:
        raise ValueError(f"its header has {header:,} bytes, more than {MOST_OF_HEADER:,}")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"its description holds {name}")


def _deeper(value: Any, levels: int) -> bool:
    """Tell whether lists and objects in the JSON `value` are nested by more than `levels`."""
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return items is not None and (levels == 0 or any(_deeper(item, levels - 1) for item in items))
