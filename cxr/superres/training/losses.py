"""The losses of training crops, kept apart by degradation."""

import math
from typing import Any

import torch
from torch import Tensor, distributed

from cxr.compute.ranks import Rank
from cxr.superres.training.turns import Turns, dealt


class Losses:
    """Sums of the losses of crops by degradation, to which `turns` deals them out, and the numbers of these crops.

    The sums stay on the device, so that no step fetches them from a GPU.
    """

    def __init__(self, turns: Turns, device: torch.device) -> None:
        self.turns = turns
        self.sums = torch.zeros(len(turns.degradations), device=device)
        self.crops = [0] * len(turns.degradations)

    def add(self, losses: Tensor, step: int, rank: Rank) -> None:
        """Count the losses (N,) of a rank's share of the crops of `step`, and those of the other ranks."""
        (numbers, first), batch = self.turns.at(step), self.turns.batch
        own = first + rank.share(batch).start
        sums = torch.stack([losses[dealt(i, own, len(numbers))].sum() for i in range(len(numbers))])
        if rank.count > 1:
            distributed.all_reduce(sums)
        for i, number in enumerate(numbers):
            self.sums[number] += sums[i]
            self.crops[number] += len(range(batch)[dealt(i, first, len(numbers))])

    def means(self) -> list[float]:
        """Return the mean loss of the crops of each degradation; NaN where there was none."""
        return [total / crops if crops else math.nan for total, crops in zip(self.sums.tolist(), self.crops, strict=True)]

    def mean(self) -> float:
        """Return the mean loss of all crops, of which there must be one."""
        return self.sums.sum().item() / sum(self.crops)

    def clear(self) -> None:
        """Begin anew."""
        self.sums.zero_()
        self.crops = [0] * len(self.crops)

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` needs."""
        return {"sums": self.sums, "crops": self.crops}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self.sums = state["sums"].to(self.sums.device)
        self.crops = state["crops"]
