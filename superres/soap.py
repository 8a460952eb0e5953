"""SOAP, an optimizer for layers whose weights move together.

Vyas, Morwani, Zhao, Kwun, Shapira, Brandfonbrener, Janson and Kakade, "SOAP: Improving and Stabilizing Shampoo using Adam",
ICLR 2025.
"""

import math
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from superres.device import Recorded, send

# Steps between two turns of the bases. On a CPU the matrices here are so small that two cost less than they bring; a GPU takes
# as long for QR decompositions as for two steps of a network.
EVERY = {"cpu": 2, "cuda": 10}
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
        self.recorded: dict[tuple[int, bool], Recorded] = {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        super().load_state_dict(state_dict)
        self.recorded.clear()  # which work on tensors that have gone

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Take a step down the gradients; closures, which torch's own optimizers allow, are not called."""
        del closure
        for number, group in enumerate(self.param_groups):
            alike: dict[torch.Size, list[Tensor]] = {}
            for weight in group["params"]:
                alike.setdefault(weight.shape, []).append(weight)
            layers = list(alike.values())  # those of one shape at once: many small products are slow
            states = [self.state[weights[0]] for weights in layers]
            gradients = [weight.grad for weights in layers for weight in weights if weight.grad is not None]
            if not all(states):
                for state, gradient in zip(states, _stacked(gradients, layers), strict=True):
                    state["steps"], state["covariances"] = 0, covariances(gradient)
                    state["momentum"], state["variance"] = torch.zeros_like(gradient), torch.zeros_like(gradient)
                    state["bases"] = [_eigenvectors(covariance) for covariance in state["covariances"]]
                continue
            for state in states:
                state["steps"] += 1
            (steps,) = {state["steps"] for state in states}
            (beta1, beta2), device = group["betas"], layers[0][0].device
            turn = steps % EVERY[device.type] == 0
            scales = group["lr"], 1 - beta1**steps, math.sqrt(1 - beta2**steps)
            take = partial(_take, layers, states, group["betas"], turn)
            if device.type == "cuda":
                recorded = self.recorded.setdefault((number, turn), Recorded(lambda s, *g, take=take: take(s.unbind(), g)))
                recorded(send(torch.tensor(scales), device), *gradients)
            else:
                take(scales, gradients)


def _take(
    layers: Sequence[Sequence[Tensor]],
    states: Sequence[dict[str, Any]],
    betas: tuple[float, float],
    turn: bool,
    scales: Sequence[Any],
    gradients: Sequence[Tensor],
) -> Sequence[Tensor]:
    """Step `layers`, those of one shape together, down their `gradients`, and bring their `states` up to date.

    `scales` are the learning rate and what corrects momentum and spread for the short time they have been running: numbers, or
    on a GPU tensors without dimensions.
    """
    rate, of_momentum, of_spread = scales
    in_place = [_channels_last(weight) for weights in layers for weight in weights]
    stacked = _stacked(gradients, layers)
    directions = [each for some in _directions(stacked, states, betas, turn, of_momentum, of_spread) for each in some]
    directions = [each.view(weight.shape) for each, weight in zip(directions, in_place, strict=True)]
    if isinstance(rate, Tensor):
        torch._foreach_mul_(directions, rate)
        rate = 1
    torch._foreach_sub_(in_place, directions, alpha=rate)
    return in_place


def _stacked(gradients: Sequence[Tensor], layers: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    """Return for each of `layers`, weights of one shape, all of their gradients as one tensor (L, ...) of their modes."""
    modes = iter(map(_as_modes, gradients))
    return [torch.stack([next(modes) for _ in weights]) for weights in layers]


def covariances(gradients: Tensor) -> list[Tensor]:
    """Return for each axis of each of `gradients` (L, ...) the products of its slices with each other; of vectors nothing.

    Of an axis of length n it is one tensor (L, n, n) for all L.
    """
    if gradients.ndim < 3:
        return []
    unfolded = [gradients.movedim(axis, 1).flatten(2) for axis in range(1, gradients.ndim)]
    return [torch.bmm(matrices, matrices.mT) for matrices in unfolded]


def _channels_last(weight: Tensor) -> Tensor:
    """Return a convolution's weight (out, in, h, w) as (out, h, w, in), as it lies in memory; others as they are."""
    return weight.permute(0, 2, 3, 1) if weight.ndim == 4 else weight


def _as_modes(gradient: Tensor) -> Tensor:
    """Return the gradient of a convolution (out, in, h, w) as (out, h*w, in) without axes of length 1; others as they are."""
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
        tensors = torch.bmm(tensors.reshape(len(basis), basis.shape[-1], -1).mT, basis)
    return tensors.reshape(shape)


def _directions(
    gradients: list[Tensor],
    states: Sequence[dict[str, Any]],
    betas: tuple[float, float],
    turn: bool,
    of_momentum: Any,
    of_spread: Any,
) -> list[Tensor]:
    """Return where to step against, in the shapes of `gradients` (L, ...), and take each of `gradients` into its state."""
    beta1, beta2 = betas
    # Lists at once, since most of the time goes into starting these small operations.
    torch._foreach_lerp_([state["momentum"] for state in states], gradients, 1 - beta1)
    turned = [_turn(gradient, state["bases"]) for gradient, state in zip(gradients, states, strict=True)]
    torch._foreach_lerp_([state["variance"] for state in states], torch._foreach_mul(turned, turned), 1 - beta2)
    spread = torch._foreach_sqrt([state["variance"] for state in states])
    torch._foreach_div_(spread, of_spread)
    torch._foreach_add_(spread, EPSILON)
    momenta = torch._foreach_div([_turn(state["momentum"], state["bases"]) for state in states], of_momentum)
    torch._foreach_div_(momenta, spread)
    # With fixed bases no gradients can make Adam step further than this (by Cauchy and Schwarz); when a basis turns, what is
    # known of a direction may be far too small for it.
    furthest = (1 - beta1) / math.sqrt((1 - beta2) * (1 - beta1**2 / beta2))
    torch._foreach_clamp_max_(momenta, furthest)
    torch._foreach_clamp_min_(momenta, -furthest)
    directions = [_turn(each, [basis.mT for basis in state["bases"]]) for each, state in zip(momenta, states, strict=True)]
    old = [covariance for state in states for covariance in state["covariances"]]
    if old:  # vectors have none
        torch._foreach_lerp_(old, [new for gradient in gradients for new in covariances(gradient)], 1 - beta2)
    if turn:
        for state in states:
            _follow(state)
    return directions


def _follow(state: dict[str, Any]) -> None:
    """Turn the bases towards the eigenvectors of the covariances: one power iteration (algorithm 4)."""
    for axis, (covariance, basis) in enumerate(zip(state["covariances"], state["bases"], strict=True), start=1):
        # By falling eigenvalue, as the iteration wants them; what is known along each direction goes with it.
        along = torch.bmm(covariance, basis)
        order = (basis * along).sum(1).argsort(descending=True, stable=True)
        place = [1] * state["variance"].ndim
        place[0], place[axis] = order.shape
        # gather, since take_along_dim first takes the remainder of every index.
        state["variance"].copy_(state["variance"].gather(axis, order.view(place).expand_as(state["variance"])))
        basis.copy_(torch.linalg.qr(along.gather(2, order[:, None].expand_as(along)))[0])
