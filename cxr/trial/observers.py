"""The observers: Hotelling's, through channels, and a small network, each learnt for a view and judged on other people."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from cxr.foundation.randomness import generator
from cxr.measures.intervals import Floats, Truths
from cxr.measures.observer import template
from cxr.trial.regions import Pixels

# Of the small network, chosen on originals of other phantoms, of seed 1001.
MAPS = 8
NEAR, BROAD = 40, 3.0  # pixels
BATCH = 64
LEARNING_RATE = 0.001
WEIGHT_DECAY = 0.1


class Scores(NamedTuple):
    """How much each region looks like one with a finding, to an observer that learnt from other people."""

    absent: Floats
    """Of regions without it (N,)."""
    present: Floats
    """Of the same regions with it (N,)."""


def hotelling(absent: Floats, present: Floats, first: Truths) -> Scores:
    """Return the scores of Hotelling's observer, from what channels give of regions (N, C) without and with a finding.

    It learns from those that are `first` (N,) to judge the others, and the other way round. Both are brought to mean 0 and
    standard deviation 1 by what they give of the regions without a finding that they learnt from.
    """
    scores = Scores(np.empty(len(absent)), np.empty(len(present)))
    for learnt, judged in ((first, ~first), (~first, first)):
        by = template(present[learnt], absent[learnt])
        known = absent[learnt] @ by
        for each, given in zip(scores, (absent, present), strict=True):
            each[judged] = (given[judged] @ by - known.mean()) / known.std()
    return scores


class Small(nn.Module):
    """One convolution of 9x9 with stride 2, and one linear layer, which knows where in the region it looks.

    Takes float32 (N, 1, S, S) with S even, and returns logits (N, findings).
    """

    def __init__(self, side: int, findings: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, MAPS, 9, 2, 4), nn.ReLU(), nn.Flatten(), nn.Dropout())
        self.head = nn.Linear(MAPS * (side // 2) ** 2, findings)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of `images`."""
        found: Tensor = self.head(self.layers(images))
        return found


def near(regions: Pixels) -> Tensor:
    """Return the middles of `regions` (N, S, S), NEAR pixels a side at most, less what a Gaussian of BROAD pixels leaves.

    Float32 (N, 1, s, s), in grey levels. Anatomy varies a hundred times as much as a finding adds; with it nothing is learnt.
    """
    images = regions.astype(np.float32)
    fine = images - gaussian_filter(images, (0, BROAD, BROAD))
    edge = max(0, images.shape[-1] - NEAR) // 2
    return torch.from_numpy(fine[:, None, edge : images.shape[-1] - edge, edge : images.shape[-1] - edge].copy())


def network(absent: Pixels, present: Mapping[str, Pixels], first: Truths, epochs: int, seed: int) -> dict[str, Scores]:
    """Return the scores of a small network, by finding, of regions (N, S, S) without a finding and with each of `present`.

    One network tells all findings: each of its logits learns from the regions with that finding and from those with none.
    Halves are learnt and judged as by `hotelling`. It learnt from the regions that bring its scores to one scale, so that those
    of the people whom it judges are not quite of mean 0 and deviation 1, in both halves alike.
    """
    made = {name: Scores(np.empty(len(absent)), np.empty(len(absent))) for name in present}
    groups = [absent, *present.values()]
    for learnt, judged in ((first, ~first), (~first, first)):
        images = torch.cat([near(group[learnt]) for group in groups])
        spread = images.std()
        trained = _trained(images / spread, len(present), epochs, seed)
        logits = [_judged(trained, near(group[judged]) / spread) for group in groups]
        known = _judged(trained, near(absent[learnt]) / spread)
        for number, name in enumerate(present):
            own = known[:, number]
            made[name].absent[judged] = (logits[0][:, number] - own.mean()) / own.std()
            made[name].present[judged] = (logits[1 + number][:, number] - own.mean()) / own.std()
    return made


def _trained(images: Tensor, findings: int, epochs: int, seed: int) -> Small:
    """Return a network that has learnt from `images`: as many without a finding as with each of them, in turn."""
    each = len(images) // (findings + 1)
    labels = torch.arange(findings + 1).repeat_interleave(each)
    shown = F.one_hot(labels, findings + 1)[:, 1:].float()
    known = torch.maximum(shown, (labels == 0)[:, None].float())  # a region with none counts for every finding
    source = generator("trial", seed)
    with torch.random.fork_rng(devices=[]):  # whose numbers dropout draws, too
        torch.manual_seed(int(torch.randint(2**62, (1,), generator=source)))
        model = Small(images.shape[-1], findings)
        optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * -(-len(images) // BATCH))
        for _ in range(epochs):
            for rows in torch.randperm(len(images), generator=source).split(BATCH):  # type: ignore[no-untyped-call]
                loss = F.binary_cross_entropy_with_logits(model(images[rows]), shown[rows], known[rows])
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                optimizer.step()
                schedule.step()
    return model.eval()


@torch.inference_mode()
def _judged(model: Small, images: Tensor) -> Floats:
    parts = images.tensor_split(max(1, len(images) // 1024))
    found: Floats = torch.cat([model(part) for part in parts]).double().numpy()
    return found
