"""SOAP, an optimizer for layers whose weights move together.

Vyas, Morwani, Zhao, Kwun, Shapira, Brandfonbrener, Janson and Kakade, "SOAP: Improving and Stabilizing Shampoo using Adam",
ICLR 2025.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from cxr.compute.cuda_graph import CudaGraphed
from cxr.compute.device import to_device_async

EVERY = 2
"""Steps between two turns of the bases, the same on every device: with another number the weights are others."""
EPSILON = 1e-8

Shape = tuple[int, ...]


class SOAP(Optimizer):
    """Adam, run along the principal directions of the gradients instead of along single weights (algorithm 3).

    A convolution's weights (out, in, h, w) have three such bases: of out, of in, and of the h*w taps together. In a network
    that carries the image through its layers all weights of a layer move its brightness together; as a direction of its own
    brightness gets its own small step, and the others may go on fast. For biases this is Adam. As in the authors' code, the
    first gradient only sets the bases.
    """

    def __init__(
        self, params: Iterable[Tensor], lr: float, betas: tuple[float, float] = (0.9, 0.99), every: int = EVERY
    ) -> None:
        """Prepare to step `params`, all of one type and on one device, at the rate `lr`, or at what `param_groups` say then.

        The bases turn every `every` steps: the paper's preconditioning frequency.

        Raises ValueError when `params` are several groups.
        """
        self.betas, self.every, self.steps = betas, every, 0
        super().__init__(params, {"lr": lr})
        alike: dict[Shape, list[Tensor]] = {}
        for weight in self.param_groups[0]["params"]:
            alike.setdefault(tuple(weight.shape), []).append(weight)
        layers = sorted(alike.values(), key=lambda weights: len(_modes(weights[0])) < 2)  # those without bases come last
        self.weights = [weight for weights in layers for weight in weights]
        # What is known of all weights lies in one vector, in which layers of one shape are a tensor (L, ...) of their modes:
        # many small operations are slow. It stays where it is in memory, as CUDA graphs want it.
        shapes = [(len(weights), *_modes(weights[0])) for weights in layers]
        self.with_bases = [shape for shape in shapes if len(shape) > 2]
        squares = [(count, length, length) for count, *lengths in self.with_bases for length in lengths]
        own = self.weights[0].detach()
        self.momentum, self.variance, self.gradient, self.along, self.direction = (
            own.new_zeros(_count(shapes)) for _ in range(5)
        )
        # One for each axis of each of the shapes.
        self.covariances, self.bases, self.latest = ([own.new_zeros(square) for square in squares] for _ in range(3))
        self.recorded: dict[bool, CudaGraphed] = {}

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Take the only group. Raises ValueError for another one."""
        if self.param_groups:
            raise ValueError("SOAP steps one group of parameters; make a SOAP for each")
        super().add_param_group(param_group)

    def __getstate__(self) -> dict[str, Any]:
        """Return all of it, so that copies are whole; torch's own keeps `state` and `param_groups` alone."""
        return self.__dict__.copy()

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` needs to go on from here; the tensors change with every step."""
        tensors = [self.momentum, self.variance, *self.covariances, *self.bases]
        return {**super().state_dict(), "steps": self.steps, "tensors": tensors}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        super().load_state_dict({name: state_dict[name] for name in ("state", "param_groups")})
        self.steps = state_dict["steps"]
        for own, theirs in zip(self.state_dict()["tensors"], state_dict["tensors"], strict=True):
            own.copy_(theirs)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take a step down the gradients, which all weights must have; return the loss of `closure`, which may compute them."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        gradients = [weight.grad for weight in self.weights if weight.grad is not None]
        self.steps += 1
        if self.steps == 1:
            self._begin(gradients)
            return loss
        (beta1, beta2), taken, device = self.betas, self.steps - 1, self.gradient.device
        turn = taken % self.every == 0
        scales = self.param_groups[0]["lr"], 1 - beta1**taken, math.sqrt(1 - beta2**taken)
        if device.type == "cuda":
            take = partial(self._take_recorded, turn)
            self.recorded.setdefault(turn, CudaGraphed(take))(to_device_async(torch.tensor(scales), device), *gradients)
        else:
            self._take(turn, scales, gradients)
        return loss

    def _begin(self, gradients: Sequence[Tensor]) -> None:
        self._gather(gradients)
        self._multiply_slices(self.covariances)
        for covariance, basis in zip(self.covariances, self.bases, strict=True):
            # In float64: where filters are dead, or nearly, float32's solver gives up or returns no numbers.
            basis.copy_(torch.linalg.eigh(covariance.double())[1])

    def _take_recorded(self, turn: bool, scales: Tensor, *gradients: Tensor) -> Sequence[Tensor]:
        self._take(turn, scales.unbind(), gradients)
        return []

    def _take(self, turn: bool, scales: Sequence[Any], gradients: Sequence[Tensor]) -> None:
        """Step down `gradients`, and bring what is known of them up to date.

        `scales` are the learning rate and what corrects momentum and spread for the short time they have been running: numbers,
        or on a GPU tensors without dimensions.
        """
        rate, of_momentum, of_spread = scales
        beta1, beta2 = self.betas
        self._gather(gradients)
        self.momentum.lerp_(self.gradient, 1 - beta1)
        self._turn(self.gradient, self.along)
        self.variance.lerp_(self.along.mul_(self.along), 1 - beta2)
        spread = self.variance.sqrt().div_(of_spread).add_(EPSILON)
        self._turn(self.momentum, self.along)
        # With fixed bases no gradients can make Adam step further than this (by Cauchy and Schwarz); when a basis turns, what
        # is known of a direction may be far too small for it.
        furthest = (1 - beta1) / math.sqrt((1 - beta2) * (1 - beta1**2 / beta2))
        self.along.div_(of_momentum).div_(spread).clamp_(-furthest, furthest)
        self._turn(self.along, self.direction, back=True)
        if isinstance(rate, Tensor):
            self.direction.mul_(rate)
            rate = 1
        for weight, direction in zip(self.weights, self._like_weights(self.direction), strict=True):
            _channels_last(weight).sub_(direction, alpha=rate)
        self._multiply_slices(self.latest)
        for covariance, latest in zip(self.covariances, self.latest, strict=True):
            covariance.lerp_(latest, 1 - beta2)
        if turn:
            self._follow()

    def _gather(self, gradients: Sequence[Tensor]) -> None:
        """Set the vector of gradients to `gradients`, in the order of the weights."""
        torch.cat([_channels_last(gradient).reshape(-1) for gradient in gradients], out=self.gradient)

    def _multiply_slices(self, covariances: Sequence[Tensor]) -> None:
        """Set `covariances` for each axis of the gradients to the products of its slices with each other."""
        wanted = iter(covariances)
        for tensors in _parts(self.gradient, self.with_bases):
            for axis in range(1, tensors.ndim):
                matrices = tensors.movedim(axis, 1).flatten(2)
                torch.bmm(matrices, matrices.mT, out=next(wanted))

    def _turn(self, tensors: Tensor, turned: Tensor, back: bool = False) -> None:
        """Set `turned` to `tensors` with coordinates along each axis in that axis's basis, or `back` in the weights' own."""
        bases = iter(self.bases)
        for part, result in zip(_parts(tensors, self.with_bases), _parts(turned, self.with_bases), strict=True):
            *shapes, last = [(len(part), length, -1) for length in part.shape[1:]]
            turning = part
            for shape in shapes:
                # The axis comes back as the last: once round, all are in place.
                turning = torch.bmm(turning.reshape(shape).mT, _directed(next(bases), back))
            torch.bmm(turning.reshape(last).mT, _directed(next(bases), back), out=result.view(len(part), -1, part.shape[-1]))
        turned[_count(self.with_bases) :].copy_(tensors[_count(self.with_bases) :])

    def _follow(self) -> None:
        """Turn the bases towards the eigenvectors of the covariances: one power iteration (algorithm 4)."""
        squares = zip(self.covariances, self.bases, strict=True)
        for variance in _parts(self.variance, self.with_bases):
            for axis in range(1, variance.ndim):
                covariance, basis = next(squares)
                # By falling eigenvalue, as the iteration wants them; what is known along each direction goes with it.
                along = torch.bmm(covariance, basis)
                order = (basis * along).sum(1).argsort(descending=True, stable=True)
                place = [1] * variance.ndim
                place[0], place[axis] = order.shape
                # gather, since take_along_dim first takes the remainder of every index.
                variance.copy_(variance.gather(axis, order.view(place).expand_as(variance)))
                basis.copy_(torch.linalg.qr(along.gather(2, order[:, None].expand_as(along)))[0])

    def _like_weights(self, tensor: Tensor) -> list[Tensor]:
        """Return of `tensor` what belongs to each of the weights, in the shape that has in memory."""
        return _parts(tensor, [tuple(_channels_last(weight).shape) for weight in self.weights])


def _count(shapes: Iterable[Shape]) -> int:
    return sum(map(math.prod, shapes))


def _parts(tensor: Tensor, shapes: Sequence[Shape]) -> list[Tensor]:
    """Return the parts of a vector, one after another, in these `shapes`; what is behind them is left."""
    lengths = list(map(math.prod, shapes))
    parts = torch.split(tensor[: sum(lengths)], lengths)
    return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]


def _directed(basis: Tensor, back: bool) -> Tensor:
    """Return `basis` (L, n, n), directions in columns, or in rows as it leads `back`."""
    return basis.mT if back else basis


def _channels_last(weight: Tensor) -> Tensor:
    """Return a convolution's weight (out, in, h, w) as (out, h, w, in), as it lies in memory; others as they are."""
    return weight.permute(0, 2, 3, 1) if weight.ndim == 4 else weight


def _modes(weight: Tensor) -> Shape:
    """Return of a convolution (out, in, h, w) the lengths out, h*w and in that are not 1; of others their shape."""
    if weight.ndim < 4:
        return tuple(weight.shape)
    out, inputs, height, width = weight.shape
    return tuple(length for length in (out, height * width, inputs) if length > 1) or (1,)
