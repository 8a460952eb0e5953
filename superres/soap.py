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
            for weight in group["params"]:
                assert weight.grad is not None
                gradient, state = _as_modes(weight.grad), self.state[weight]
                if state:
                    direction = _direction(gradient, state, *group["betas"])
                    weight.sub_(direction.reshape(weight.shape), alpha=group["lr"])
                else:
                    state["steps"], state["covariances"] = 0, covariances(gradient)
                    state["momentum"], state["variance"] = torch.zeros_like(gradient), torch.zeros_like(gradient)
                    state["bases"] = [torch.linalg.eigh(covariance)[1] for covariance in state["covariances"]]


def covariances(gradient: Tensor) -> list[Tensor]:
    """Return for each axis of `gradient` (two or more) the products of its slices with each other; for a vector nothing."""
    if gradient.ndim < 2:
        return []
    unfolded = [gradient.movedim(axis, 0).flatten(1) for axis in range(gradient.ndim)]
    return [matrix @ matrix.T for matrix in unfolded]


def _as_modes(gradient: Tensor) -> Tensor:
    """Return the gradient of a convolution (out, in, h, w) as (out, in, h*w) without axes of length 1; others as they are."""
    if gradient.ndim < 3:
        return gradient
    modes = gradient.contiguous().flatten(2)
    return modes.reshape([length for length in modes.shape if length > 1] or [1])


def _turn(tensor: Tensor, bases: list[Tensor]) -> Tensor:
    """Return `tensor` with coordinates along each axis in that axis's basis, whose columns are the directions."""
    for basis in bases:
        tensor = torch.tensordot(
            tensor, basis, dims=([0], [0])
        )  # the axis comes back as the last: once round, all are in place
    return tensor


def _direction(gradient: Tensor, state: dict[str, Any], beta1: float, beta2: float) -> Tensor:
    """Return where to step against, in the shape of `gradient`, and take `gradient` into `state`."""
    state["steps"] += 1
    state["momentum"].lerp_(gradient, 1 - beta1)
    state["variance"].lerp_(_turn(gradient, state["bases"]).square(), 1 - beta2)
    momentum = _turn(state["momentum"], state["bases"]) / (1 - beta1 ** state["steps"])
    spread = (state["variance"] / (1 - beta2 ** state["steps"])).sqrt()
    # With fixed bases no gradients can make Adam step further than this (by Cauchy and Schwarz); when a basis turns, what is
    # known of a direction may be far too small for it.
    furthest = (1 - beta1) / math.sqrt((1 - beta2) * (1 - beta1**2 / beta2))
    direction = (momentum / (spread + EPSILON)).clamp(-furthest, furthest)
    direction = _turn(direction, [basis.T for basis in state["bases"]])
    for old, new in zip(state["covariances"], covariances(gradient), strict=True):
        old.lerp_(new, 1 - beta2)
    if state["steps"] % EVERY == 0:
        _follow(state)
    return direction


def _follow(state: dict[str, Any]) -> None:
    """Turn the bases towards the eigenvectors of the covariances: one power iteration (algorithm 4)."""
    for mode, (covariance, basis) in enumerate(zip(state["covariances"], state["bases"], strict=True)):
        # By falling eigenvalue, as the iteration wants them; what is known along each direction goes with it.
        order = torch.einsum("ij,ik,kj->j", basis, covariance, basis).argsort(descending=True, stable=True)
        state["variance"] = state["variance"].index_select(mode, order)
        state["bases"][mode] = torch.linalg.qr(covariance @ basis[:, order])[0]
