"""Where a detector looks: a map of what in a radiograph speaks for a finding. No scipy, no pandas."""

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cxr.compute.device import repeatable
from cxr.dataset.boxes import Box
from cxr.detection.detector import Detector, Network
from cxr.detection.networks.backbones import backbone
from cxr.foundation.errors import UserError
from cxr.foundation.randomness import generator

Maps = npt.NDArray[np.float32]
SPATIAL = 4
"""Dimensions of features that have a place: images, channels, rows, columns."""
_ATTENDS = ("attention", "attn")
"""In what networks call their layers that look at all places at once, or weigh channels, by custom."""
_REMEDY = "use compact or lite0"


def heat_maps(network: Network, square: Tensor) -> Maps:
    """Return how much each place of `square` (1, 1, S, S) in [0, 1] speaks for each finding: (F, h, w), h = w, of any sign.

    Grad-CAM, Selvaraju et al., ICCV 2017, of the last layer whose features have a place, but for its last step, which leaves
    out what is below 0 (`shown`). Of a network that takes the mean of these features over the image it is, but for a factor,
    the class activation map of Zhou et al., CVPR 2016. As there, a cell stands for its share of the square; where strides and
    padding put the middle of what it has seen may be half a cell off.
    Raises UserError for a network with attention, which mixes places, and one whose last features with a place do not lead to
    the logits by pooling alone: they would be those of patches or of heads, and a map of them nonsense.
    """
    if any(_attends(layer) for layer in network.body.modules()):
        raise UserError(f"this network has no heat map: its attention mixes places; {_REMEDY}")
    last: Tensor | None = None

    def keep(_layer: object, _given: object, made: object) -> None:
        nonlocal last
        for each in made if isinstance(made, tuple | list) else (made,):
            if isinstance(each, Tensor) and _is_unpooled(each):
                last = each

    hooks = [layer.register_forward_hook(keep) for layer in network.body.modules()]
    try:
        with torch.enable_grad(), repeatable():
            logits = network.eval()(square.detach().clone().requires_grad_())[0]
            if last is None or not _has_places(last, square.shape[-1]):
                raise UserError(f"this network has no heat map: no layer's features have a place; {_REMEDY}")
            slopes = [torch.autograd.grad(logit, last, retain_graph=True, allow_unused=True)[0] for logit in logits]
    finally:
        for hook in hooks:
            hook.remove()
    if any(slope is None for slope in slopes):
        raise UserError(f"this network has no heat map: its last features with a place decide nothing; {_REMEDY}")
    maps = [(slope.mean((2, 3), keepdim=True) * last).sum(1) for slope in slopes]
    found: Maps = torch.cat(maps).detach().float().cpu().numpy()
    return found


def _attends(layer: nn.Module) -> bool:
    name = type(layer).__name__.lower()
    return isinstance(layer, nn.MultiheadAttention) or any(each in name for each in _ATTENDS)


def _is_unpooled(features: Tensor) -> bool:
    """Tell whether `features` are of several places, tokens or the like: neither (N, D) nor (N, D, 1, 1)."""
    return max(features.shape[2:], default=1) > 1


def _has_places(features: Tensor, size: int) -> bool:
    """Tell whether `features` are (N, C, h, w) as convolutions make them of squares of that `size`: h = w.

    With channels last, or of tokens, the last two dimensions are not alike.
    """
    if features.ndim != SPATIAL:
        return False
    rows, columns = features.shape[2:]
    return 1 < rows == columns <= size


def has_map(network: Network, size: int) -> bool:
    """Tell whether `network`, of squares of so many pixels a side, has a heat map."""
    try:
        heat_maps(network, torch.zeros(1, 1, size, size, device=next(network.parameters()).device))
    except UserError:
        return False
    return True


def peak(heat: Maps) -> tuple[float, float]:
    """Return where `heat` (h, w) is greatest: the centre of its cell, across and down, in shares of the square."""
    row, column = np.unravel_index(int(heat.argmax()), heat.shape)
    return (int(column) + 0.5) / heat.shape[1], (int(row) + 0.5) / heat.shape[0]


def shown(heat: Maps, size: int) -> Maps:
    """Return `heat` (h, w) as it is drawn: (size, size) in [0, 1], what is below 0 left out, between cells by bilinear steps.

    At the centre of the greatest cell it is 1; where nothing is above 0, all is 0.
    """
    above = torch.from_numpy(heat).clamp(min=0)[None, None]
    above = above / above.max().clamp(min=torch.finfo(above.dtype).tiny)
    found: Maps = F.interpolate(above, (size, size), mode="bilinear", align_corners=False)[0, 0].numpy()
    return found


def randomised(detector: Detector) -> Network:
    """Return the network of `detector` with weights that have learnt nothing: a map that looks like its own tells nothing.

    Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018. The same for all detectors of a network and a size.
    """
    name = str(detector.description["network"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**62, (1,), generator=generator("randomised", name, detector.size))))
        network = Network(backbone(name, detector.size, learnt=False), len(detector.findings))
    return network.to(next(detector.network.parameters()).device).eval()


def inside(boxes: list[Box], across: npt.ArrayLike, down: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Return which of the places `across` and `down` (N,), in shares of the image, lie in any of `boxes`."""
    x, y = np.asarray(across, float), np.asarray(down, float)
    within = [(left <= x) & (x < left + width) & (top <= y) & (y < top + height) for left, top, width, height in boxes]
    found: npt.NDArray[np.bool_] = np.logical_or.reduce(within) if within else np.zeros(x.shape, bool)
    return found
