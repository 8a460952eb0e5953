"""Which crops of which step are for which degradation."""

from collections.abc import Sequence
from typing import NamedTuple

from cxr.superres.settings import Degradation


class Turn(NamedTuple):
    """How the crops of one step are dealt out."""

    numbers: list[int]
    """Of the degradations that the crops of this step are for."""
    first: int
    """Which of these the first crop is for; those behind it are for the next ones in turn."""


class Turns(NamedTuple):
    """How crops are dealt out to degradations over the steps, so that each gets its share whatever the batch.

    A post-upsampling network sees images of other sizes at each scale. So a step is for one scale, the scales taking turns.
    """

    degradations: Sequence[Degradation]
    batch: int
    a_scale_a_step: bool

    def at(self, step: int) -> Turn:
        """Return the turn of `step`."""
        if not self.a_scale_a_step:
            numbers, rounds = list(range(len(self.degradations))), step
        else:
            scales = list(dict.fromkeys(each.scale for each in self.degradations))
            scale, rounds = scales[step % len(scales)], step // len(scales)
            numbers = [i for i, each in enumerate(self.degradations) if each.scale == scale]
        return Turn(numbers, rounds * self.batch % len(numbers))


def dealt(index: int, first: int, count: int) -> slice:
    """Return which crops, of which the first is crop number `first`, go to degradation `index` of `count`."""
    return slice((index - first) % count, None, count)
