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

Floats = npt.NDArray[np.float64]

BATCH = 64
VISIBLE = 0.6  # AUC by bicubic interpolation, from which a finding counts as shown at all
KEPT = 0.95  # of bicubic interpolation's contrast, less than which is harm
LOST = 0.02  # of AUC, more than which is harm
STRENGTHS = (1.0, 0.75, 0.5, 0.25)


class Cell(NamedTuple):
    """A finding in a condition at a scale, as a network shows it and as bicubic interpolation does."""

    finding: Finding
    degradation: Degradation
    bicubic: Told
    network: Told
    kept: float
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


class Seen(NamedTuple):
    """Windows (N, SIDE, SIDE) of one set, in grey levels: bicubic, and what the network adds to that."""

    bicubic: Floats
    added: Floats


def cells(model: Model, degradation: Degradation, backgrounds: Pixels, findings: Sequence[Finding]) -> Iterator[Cell]:
    """Yield a cell for each of `findings`.

    Of the backgrounds (N, SIDE + 2 MARGIN, SIDE + 2 MARGIN), each is seen with the finding and without, with noise of its own
    either time, by the observer. The contrast is that of twins with the same noise.
    """
    without = seen(model, degradation, backgrounds, "without")
    alike = seen(model, degradation, backgrounds, "with") if degradation.noisy else without
    for finding in findings:
        signal = finding.signal
        levels = backgrounds.astype(float)
        inner = slice(MARGIN, MARGIN + SIDE)
        levels[:, inner, inner] += signal
        present = seen(model, degradation, np.floor(levels + 0.5).clip(0, WHITE).astype(np.uint8), "with")
        yield _cell(finding, degradation, signal, present, without, alike)


def _cell(finding: Finding, degradation: Degradation, signal: Floats, present: Seen, absent: Seen, alike: Seen) -> Cell:
    through = channels(signal)
    shares = [outputs(part, through) for part in (*present, *absent)]

    def observer(strength: float) -> Told:
        return told(shares[0] + strength * shares[1], shares[2] + strength * shares[3])

    template = signal - signal.mean()
    of_bicubic, of_added = ((here - there) * template for here, there in zip(present, alike, strict=True))
    kept = 1 + of_added.sum() / of_bicubic.sum()
    bicubic, network = observer(0), observer(1)
    cap = 1.0
    if bicubic.auc >= VISIBLE:
        found = {1.0: network}
        unharmed = (
            strength
            for strength in STRENGTHS
            if 1 + strength * (kept - 1) >= KEPT and found.get(strength, observer(strength)).auc >= bicubic.auc - LOST
        )
        cap = next(unharmed, 0.0)
    return Cell(finding, degradation, bicubic, network, float(kept), cap)


@torch.inference_mode()
def seen(model: Model, degradation: Degradation, backgrounds: Pixels, key: str) -> Seen:
    """Return the middles of `backgrounds` as bicubic interpolation and `model` show what `degradation` leaves of them.

    Noise is a function of the background's number, and of `key`.
    """
    scale, network = degradation.scale, model.running[degradation.scale]
    post_upsampling = is_post_upsampling(model.networks[scale])
    bicubic, added = [], []
    side = backgrounds.shape[-1] // scale
    for first in range(0, len(backgrounds), BATCH):
        part = torch.from_numpy(backgrounds[first : first + BATCH])[:, None].to(model.device)
        field = noise_field(degradation, (len(part), 1, side, side), generator("twins", key, first, scale))
        low = observed(in_unit_range(part), degradation, field)
        enlarged = enlarged_window(low, scale)
        if is_told(model.networks[scale]):  # a window is too small to be estimated from
            low = beside(low, [expected(degradation)] * len(low))
        made: Tensor = network(low, enlarged) if post_upsampling else network(enlarged)
        inner = (slice(None), 0, slice(MARGIN, MARGIN + SIDE), slice(MARGIN, MARGIN + SIDE))
        bicubic.append((enlarged[inner] * WHITE).cpu().double().numpy())
        added.append((made.float().clamp(0, 1)[inner] * WHITE).cpu().double().numpy() - bicubic[-1])
    return Seen(np.concatenate(bicubic), np.concatenate(added))
