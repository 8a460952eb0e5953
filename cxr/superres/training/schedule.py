"""How the learning rate runs over a training."""

import math
from typing import Literal

WARM_UP = 0.02  # share of the steps in which the learning rate rises from nothing


def share_of_peak(step: int, steps: int, schedule: Literal["cosine", "quadratic"]) -> float:
    """Return the share of the peak learning rate at which step number `step` of `steps` is taken.

    It rises linearly, then falls to nothing along a cosine (Loshchilov and Hutter, "SGDR", ICLR 2017) or as the square of the
    time left.
    """
    done = step / steps
    rising = (step + 1) / max(1, round(WARM_UP * steps))
    falling = (1 + math.cos(math.pi * done)) / 2 if schedule == "cosine" else (1 - done) ** 2
    return min(rising, falling)


def validation_steps(steps: int, validations: int) -> set[int]:
    """Return after which of `steps` a network is measured: evenly spaced, the last one included."""
    return {math.ceil(steps * i / validations) for i in range(1, validations + 1)}
