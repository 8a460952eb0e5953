"""SOAP, an optimizer for layers whose weights move together.

Vyas, Morwani, Zhao, Kwun, Shapira, Brandfonbrener, Janson and Kakade, "SOAP: Improving and Stabilizing Shampoo using Adam",
ICLR 2025.
"""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

EVERY = 2  # steps between two turns of the bases; the matrices here are so small that this costs less than it brings
EPSILON = 1e-8


class SOAP(torch.optim.Optimizer):
    """Adam, run along the principal directions of the gradients instead of along single weights (algorithm 3).

    A convolution's weights (out, in, h, w) have three such bases: of out, of in, and of the h*w taps together. In a network
    that carries the image through its layers all weights of a layer move its brightness together; as a direction of its own
    brightness gets its own small step, and the others may go on fast. For biases this is Adam. As in the authors' code, the
    first gradient only sets the bases.
    """

    def __init__(self, params: Iterable[Tensor], lr: float, betas: tuple[float, float] = (0.9, 0.99)) -> None:
        super().__init__(params, {"lr": lr, "betas": betas})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Take a step down the gradients; closures, which torch's own optimizers allow, are not called."""
        del closure
        for group in self.param_groups:
            alike: dict[torch.Size, list[Tensor]] = {}
            for weight in group["params"]:
                alike.setdefault(weight.shape, []).append(weight)
            for weights in alike.values():  # layers of one shape at once: many small products are slow
                gradients = torch.stack([_as_modes(weight) for weight in weights])
                state = self.state[weights[0]]
                if state:
                    directions = _directions(gradients, state, *group["betas"])
                    for weight, direction in zip(weights, directions, strict=True):
                        in_place = _channels_last(weight)
                        in_place.sub_(direction.view(in_place.shape), alpha=group["lr"])
                else:
                    state["steps"], state["covariances"] = 0, covariances(gradients)
                    state["momentum"], state["variance"] = torch.zeros_like(gradients), torch.zeros_like(gradients)
                    state["bases"] = [_eigenvectors(covariance) for covariance in state["covariances"]]


def covariances(gradients: Tensor) -> list[Tensor]:
    """Return for each axis of each of `gradients` (L, ...) the products of its slices with each other; of vectors nothing.

    Of an axis of length n it is one tensor (L, n, n) for all L.
    """
    if gradients.ndim < 3:
        return []
    unfolded = [gradients.movedim(axis, 1).flatten(2) for axis in range(1, gradients.ndim)]
    return [matrices @ matrices.mT for matrices in unfolded]


def _channels_last(weight: Tensor) -> Tensor:
    """Return a convolution's weight (out, in, h, w) as (out, h, w, in), as it lies in memory; others as they are."""
    return weight.permute(0, 2, 3, 1) if weight.ndim == 4 else weight


def _as_modes(weight: Tensor) -> Tensor:
    """Return the gradient of a convolution (out, in, h, w) as (out, h*w, in) without axes of length 1; others as they are."""
    gradient = weight.grad
    assert gradient is not None
    if gradient.ndim < 3:
        return gradient
    modes = _channels_last(gradient).flatten(1, 2)
    return modes.reshape([length for length in modes.shape if length > 1] or [1])


def _eigenvectors(covariance: Tensor) -> Tensor:
    """Return the eigenvectors of each of `covariance` (L, n, n), in columns."""
    # In float64: where filters are dead, or nearly, float32's solver gives up or returns no numbers.
    vectors: Tensor = torch.linalg.eigh(covariance.double())[1]
    return vectors.to(covariance.dtype)


def _turn(tensors: Tensor, bases: list[Tensor]) -> Tensor:
    """Return `tensors` (L, ...) with coordinates along each axis in that axis's bases (L, n, n), directions in columns."""
    shape = tensors.shape
    for basis in bases:
        # The axis comes back as the last: once round, all are in place.
        tensors = tensors.reshape(len(basis), basis.shape[-1], -1).mT @ basis
    return tensors.reshape(shape)


def _directions(gradients: Tensor, state: dict[str, Any], beta1: float, beta2: float) -> Tensor:
    """Return where to step against, in the shape of `gradients` (L, ...), and take `gradients` into `state`."""
    state["steps"] += 1
    state["momentum"].lerp_(gradients, 1 - beta1)
    state["variance"].lerp_(_turn(gradients, state["bases"]).square(), 1 - beta2)
    momentum = _turn(state["momentum"], state["bases"])
    spread = state["variance"].sqrt().div_(math.sqrt(1 - beta2 ** state["steps"])).add_(EPSILON)
    # With fixed bases no gradients can make Adam step further than this (by Cauchy and Schwarz); when a basis turns, what is
    # known of a direction may be far too small for it.
    furthest = (1 - beta1) / math.sqrt((1 - beta2) * (1 - beta1**2 / beta2))
    directions = momentum.div(1 - beta1 ** state["steps"]).div_(spread).clamp_(-furthest, furthest)
    directions = _turn(directions, [basis.mT for basis in state["bases"]])
    for old, new in zip(state["covariances"], covariances(gradients), strict=True):
        old.lerp_(new, 1 - beta2)
    if state["steps"] % EVERY == 0:
        _follow(state)
    return directions


def _follow(state: dict[str, Any]) -> None:
    """Turn the bases towards the eigenvectors of the covariances: one power iteration (algorithm 4)."""
    for axis, (covariance, basis) in enumerate(zip(state["covariances"], state["bases"], strict=True), start=1):
        # By falling eigenvalue, as the iteration wants them; what is known along each direction goes with it.
        along = covariance @ basis
        order = (basis * along).sum(1).argsort(descending=True, stable=True)
        place = [1] * state["variance"].ndim
        place[0], place[axis] = order.shape
        # gather, since take_along_dim first takes the remainder of every index.
        state["variance"] = state["variance"].gather(axis, order.view(place).expand_as(state["variance"]))
        state["bases"][axis - 1] = torch.linalg.qr(along.gather(2, order[:, None].expand_as(along)))[0]
