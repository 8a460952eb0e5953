"""What the estimator would find of a degradation, so that a network is told in training what it is told in use."""

import math

import torch
from torch import Tensor

from cxr.superres.degradation.jpeg import BLOCK, basis, quantisation
from cxr.superres.degradation.levels import WHITE
from cxr.superres.degradation.passage import gaussian
from cxr.superres.estimation.noise import FINE, SHOWN, STRONG
from cxr.superres.settings import Degradation
from cxr.superres.told import Told

MULTIPLES = 8
"""Of a step of JPEG, as far as noise is followed; 64 levels of noise hold fewer at any quality that makes steps of 64."""


def expected(degradation: Degradation) -> Told:
    """Return what of `degradation` the estimator finds in the mean, where a radiograph is quiet.

    It looks at the highest frequencies of blocks of 8x8 pixels alone. Correlated noise has little there, and JPEG keeps only
    what its steps are not too coarse for; so both hide noise.
    """
    found = _found(degradation, FINE)
    return Told(found**0.5, bool(degradation.quanta) and found > STRONG, degradation.jpeg)


def expected_rough(degradation: Degradation) -> float:
    """Return the root mean square, in grey levels, that the noise of `degradation` has at medium frequencies."""
    return math.sqrt(_found(degradation, SHOWN))


def _found(degradation: Degradation, band: tuple[int, int]) -> float:
    """Return the mean variance of the noise's coefficients, of blocks of 8x8, at frequencies that add up to those of `band`."""
    counted = WHITE**2 * 0.5 / degradation.quanta if degradation.quanta else 0.0
    variance = (degradation.noise**2 + counted) * _within(_shares(degradation.grain), band)
    if degradation.jpeg:
        variance = _kept(variance, _within(quantisation(degradation.jpeg).double(), band))
    return float(variance.mean())


def _within(by_frequency: Tensor, band: tuple[int, int]) -> Tensor:
    """Return of values (8, 8), by vertical and horizontal frequency, those of `band`."""
    order = torch.arange(BLOCK)
    sums = order[:, None] + order
    return by_frequency[(sums >= band[0]) & (sums <= band[1])]


def _shares(grain: float) -> Tensor:
    """Return the variances (8, 8) of the coefficients of noise of variance 1 that is correlated by `grain`."""
    taps = gaussian(grain).double() if grain else torch.ones(1, dtype=torch.float64)
    apart = torch.nn.functional.conv1d(taps[None, None], taps[None, None], padding=len(taps) - 1 + BLOCK)[0, 0]
    middle = len(apart) // 2
    order = torch.arange(BLOCK)
    covariance = (apart / apart[middle])[middle + (order[:, None] - order)]
    cosines = basis(torch.device("cpu"), torch.float64)
    along = (cosines @ covariance @ cosines.T).diagonal()
    return torch.outer(along, along)


def _kept(variance: Tensor, steps: Tensor) -> Tensor:
    """Return the variances of normal coefficients of `variance` that are rounded to multiples of `steps`."""
    edges = (torch.arange(1, MULTIPLES + 1) - 0.5)[:, None] * steps
    beyond = torch.special.erfc(edges / (2 * variance.clamp_min(1e-12)).sqrt())  # probability of more, either way
    weights = torch.arange(1, 2 * MULTIPLES, 2)[:, None]  # k squared less (k - 1) squared
    kept: Tensor = steps.square() * (weights * beyond).sum(dim=0)
    return kept
