"""The views: a region as taken, its low-resolution copy, and what is made of that."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cxr.superres.degradation.enlargement import enlarge
from cxr.superres.degradation.levels import to_levels
from cxr.superres.degradation.passage import blurred, observed
from cxr.superres.degradation.reduction import crop_to_multiple
from cxr.superres.enhance import restore
from cxr.superres.estimation.arrival import arrived
from cxr.superres.limits import limit
from cxr.superres.methods import BICUBIC, LEAD, LOW, NETWORKS, ORIGINAL
from cxr.superres.model import FOLDERS, Model, load_model
from cxr.superres.settings import Degradation
from cxr.superres.told import Told
from cxr.trial.protocol import Protocol
from cxr.trial.regions import Pixels, as_tensor

UNSHARP, AS_USED = "unsharp", f"{LEAD}_as_used"
"""Bicubic interpolation, sharpened; and what the command gives, which uses no more of a network than is known to do no harm."""
VIEWS = (ORIGINAL, BICUBIC, LOW, UNSHARP, *NETWORKS, AS_USED)
LESS = VIEWS[2:]
"""Those that are compared with bicubic interpolation."""


class Arrived(NamedTuple):
    """What is found of a whole low-resolution radiograph."""

    told: Told
    """What a network is told."""
    cap: float
    """The greatest strength at which LEAD is used on it."""


def models() -> dict[str, Model]:
    """Return the bundled networks, by name."""
    return {name: load_model(FOLDERS[-1] / f"{name}.safetensors", torch.device("cpu")) for name in NETWORKS}


def on_arrival(radiograph: Pixels, scale: int, lead: Model) -> Arrived:
    """Return what is found of the low-resolution copy of a whole `radiograph` (H, W)."""
    low = observed(crop_to_multiple(as_tensor(radiograph[None]), scale), Degradation(scale))
    found = arrived(low[0, 0].numpy())
    return Arrived(found.for_network, limit(lead, scale, found).cap)


@torch.inference_mode()
def views(regions: Pixels, protocol: Protocol, of: Arrived, networks: Mapping[str, Model]) -> dict[str, Pixels]:
    """Return the middles (R, inner, inner) of `regions` (R, side, side) in each of VIEWS, in the grey levels that are shown."""
    scale = protocol.scale
    images = as_tensor(regions)
    low = observed(images, Degradation(scale))
    bicubic = enlarge(low, scale)
    made = {ORIGINAL: images, LOW: low.repeat_interleave(scale, 2).repeat_interleave(scale, 3), BICUBIC: bicubic}
    made[UNSHARP] = sharpened(bicubic, *protocol.unsharp)
    for name, model in networks.items():
        made[name] = restore(model, low, scale, bicubic=bicubic, arrival=of.told)
    made[AS_USED] = bicubic.lerp(made[LEAD], of.cap)
    edge = (protocol.side - protocol.inner) // 2
    return {name: to_levels(made[name][:, 0, edge : -edge or None, edge : -edge or None]).numpy() for name in VIEWS}


def sharpened(images: Tensor, width: float, amount: float) -> Tensor:
    """Return `images` (N, 1, H, W) in [0, 1] with `amount` times what a Gaussian of `width` pixels takes away added again.

    Unsharp masking: Gonzalez and Woods, "Digital Image Processing" (2018), section 3.6.
    """
    return (images + amount * (images - blurred(images, Degradation(1, blur=width)))).clamp(0, 1)


def joined(parts: Iterable[Mapping[str, Pixels]]) -> dict[str, Pixels]:
    """Return the views of several people's regions as one, in their order."""
    every = list(parts)
    return {name: np.concatenate([part[name] for part in every]) for name in every[0]}
