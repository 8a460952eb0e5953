"""Which device to compute on."""

from typing import Literal

import torch

from superres.errors import UserError


def choose_device(wish: Literal["auto", "cpu", "cuda"]) -> torch.device:
    """Return the device to compute on. Raises UserError when CUDA is asked for and there is none."""
    if wish == "cuda" and not torch.cuda.is_available():
        raise UserError("runtime.device is cuda, but torch finds no CUDA device here; set it to auto or cpu")
    return torch.device("cuda" if wish != "cpu" and torch.cuda.is_available() else "cpu")
