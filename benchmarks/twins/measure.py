"""What of a finding is left: its contrast, and how well an observer tells it, by a network and by bicubic interpolation."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from benchmarks.twins.backgrounds import MARGIN, Pixels
from benchmarks.twins.findings import SIDE, Finding
from cxr.foundation.randomness import generator
from cxr.measures.observer import Told, channels, outputs, told
from cxr.superres.degradation.enlargement import enlarged_window
from cxr.superres.degradation.levels import WHITE, in_unit_range
from cxr.superres.degradation.maps import beside
from cxr.superres.degradation.passage import noise_field, observed
from cxr.superres.estimation.expected import expected
from cxr.superres.model import Model
from cxr.superres.network import is_post_upsampling, is_told
from cxr.superres.settings import Degradation

Floats = npt.NDArray[np.floating]

BATCH = 64
VISIBLE = 0.6  # AUC by bicubic interpolation, from which a finding counts as shown at all
KEPT = 0.95  # of bicubic interpolation's contrast, less than which is harm
LOST = 0.02  # of AUC, more than which is harm
STRENGTHS = tuple(step / 20 for step in range(20, 0, -1))


class Cell(NamedTuple):
    """A finding in a condition at a scale, as a network shows it and as bicubic interpolation does."""

    finding: Finding
    degradation: Degradation
    bicubic: Told
    network: Told | None
    """None, as `kept`, where bicubic interpolation does not show it: then there is nothing to harm."""
    kept: float | None
    """The contrast by the network, as a share of that by bicubic interpolation."""
    cap: float
    """The greatest of STRENGTHS at which there is no harm; 0 where there always is."""

    @property
    def seen(self) -> bool:
        """Tell whether bicubic interpolation shows the finding at all."""
        return self.bicubic.auc >= VISIBLE

    @property
    def harm(self) -> bool:
        """Tell whether the network, at its full strength, takes away from it."""
        return self.cap < 1


class Copies(NamedTuple):
    """What a degradation leaves of windows (N, 1, H, W), and that bicubically enlarged, in parts of BATCH."""

    low: list[Tensor]
    enlarged: list[Tensor]


class Outputs(NamedTuple):
    """What an observer's channels (C) give of images without a finding (N, C), and of images with it."""

    absent: Floats
    present: Floats


def cells(model: Model, degradation: Degradation, backgrounds: Pixels, findings: Sequence[Finding]) -> Iterator[Cell]:
    """Yield a cell for each of `findings`.

    Of the backgrounds (N, SIDE + 2 MARGIN, SIDE + 2 MARGIN), each is seen with the finding and without, with noise of its own
    either time, by the observer. The contrast is that of twins with the same noise.
    """
    without = copies(degradation, backgrounds, "without", model.device)
    alike = copies(degradation, backgrounds, "with", model.device) if degradation.noisy else without
    absent, bare = bicubic(without), bicubic(alike)
    added = changed(model, degradation, without)
    bare_added = changed(model, degradation, alike) if degradation.noisy else added
    for finding in findings:
        signal = finding.signal
        levels = backgrounds.astype(float)
        inner = slice(MARGIN, MARGIN + SIDE)
        levels[:, inner, inner] += signal
        made = copies(degradation, np.floor(levels + 0.5).clip(0, WHITE).astype(np.uint8), "with", model.device)
        present = bicubic(made)
        through = channels(signal)
        by_bicubic = Outputs(outputs(absent, through), outputs(present, through))
        found = told(by_bicubic.present, by_bicubic.absent)
        if found.auc < VISIBLE:
            yield Cell(finding, degradation, found, None, None, 1.0)
            continue
        change = changed(model, degradation, made)
        template = signal - signal.mean()
        kept = 1 + float(((change - bare_added) * template).sum() / ((present - bare) * template).sum())
        by_change = Outputs(outputs(added, through), outputs(change, through))
        yield _capped(finding, degradation, found, kept, by_bicubic, by_change)


def _capped(
    finding: Finding, degradation: Degradation, found: Told, kept: float, by_bicubic: Outputs, by_change: Outputs
) -> Cell:
    """Return the cell of a finding of which bicubic interpolation leaves what is `found`, and the network `kept`."""

    def observer(strength: float) -> Told:
        absent, present = (here + strength * more for here, more in zip(by_bicubic, by_change, strict=True))
        return told(present, absent)

    unharmed = (
        strength for strength in STRENGTHS if 1 + strength * (kept - 1) >= KEPT and observer(strength).auc >= found.auc - LOST
    )
    return Cell(finding, degradation, found, observer(1), kept, next(unharmed, 0.0))


def copies(degradation: Degradation, backgrounds: Pixels, key: str, device: torch.device) -> Copies:
    """Return what `degradation` leaves of `backgrounds`. Noise is a function of the background's number, and of `key`."""
    scale = degradation.scale
    side = backgrounds.shape[-1] // scale
    low, enlarged = [], []
    for first in range(0, len(backgrounds), BATCH):
        part = torch.from_numpy(backgrounds[first : first + BATCH])[:, None].to(device)
        field = noise_field(degradation, (len(part), 1, side, side), generator("twins", key, first, scale))
        low.append(observed(in_unit_range(part), degradation, field))
        enlarged.append(enlarged_window(low[-1], scale))
    return Copies(low, enlarged)


def bicubic(of: Copies) -> Floats:
    """Return the middles (N, SIDE, SIDE) of enlarged windows, in grey levels."""
    return np.concatenate([_middle(part) for part in of.enlarged])


@torch.inference_mode()
def changed(model: Model, degradation: Degradation, of: Copies) -> Floats:
    """Return what `model` changes of the middles (N, SIDE, SIDE) of enlarged windows, in grey levels."""
    network = model.running[degradation.scale]
    post_upsampling, knows = (is_(model.networks[degradation.scale]) for is_ in (is_post_upsampling, is_told))
    changes = []
    for low, enlarged in zip(*of, strict=True):
        given = beside(low, [expected(degradation)] * len(low)) if knows else low  # a window is too small to be estimated from
        made: Tensor = network(given, enlarged) if post_upsampling else network(enlarged)
        changes.append(_middle(made.float().clamp(0, 1)) - _middle(enlarged))
    return np.concatenate(changes)


def _middle(windows: Tensor) -> Floats:
    middle = windows[:, 0, MARGIN : MARGIN + SIDE, MARGIN : MARGIN + SIDE]
    levels: Floats = (middle * WHITE).cpu().double().numpy()
    return levels
