"""Muon, an optimizer for the hidden layers of a network.

Jordan, Jin, Boza, You, Cesista, Newhouse and Bernstein, "Muon: An optimizer for hidden layers in neural networks", 2024.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

# Coefficients of the Newton-Schulz iteration that Jordan et al. tuned for speed: five rounds bring every singular value
# into about 0.7 to 1.2, which serves as well as exactly 1.
A, B, C = 3.4445, -4.7750, 2.0315
ROUNDS = 5


class Muon(torch.optim.Optimizer):
    """Momentum whose step for each layer is replaced by the nearest orthogonal matrix, so that all directions learn alike.

    For weights of two dimensions or more; a convolution's (out, in, h, w) count as a matrix (out, in*h*w). `lr` is the
    spectral norm of a step, about.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], lr: float, momentum: float = 0.95) -> None:
        super().__init__(groups, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Take a step down the gradients; closures, which torch's own optimizers allow, are not called."""
        del closure
        for group in self.param_groups:
            by_shape: dict[Any, list[Tensor]] = {}
            for weight in group["params"]:
                by_shape.setdefault(weight.shape, []).append(weight)
            for weights in by_shape.values():  # layers of one shape at once: many small products are slow
                directions = orthogonalised(torch.stack([self._direction(w, group["momentum"]) for w in weights]))
                for weight, direction in zip(weights, directions, strict=True):
                    weight.add_(direction.view(weight.shape), alpha=-group["lr"])

    def _direction(self, weight: Tensor, momentum: float) -> Tensor:
        """Return the gradient with Nesterov's momentum, as a matrix."""
        state = self.state[weight]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(weight)
        assert weight.grad is not None
        state["momentum"].lerp_(weight.grad, 1 - momentum)
        return weight.grad.lerp(state["momentum"], momentum).reshape(len(weight), -1)


def orthogonalised(matrices: Tensor) -> Tensor:
    """Return `matrices` (N, rows, columns), rows <= columns, with all singular values near 1 and the same singular vectors."""
    matrices = matrices / (torch.linalg.matrix_norm(matrices, keepdim=True) + 1e-7)
    for _ in range(ROUNDS):
        gram = matrices @ matrices.mT
        matrices = A * matrices + (B * gram + C * gram @ gram) @ matrices
    return matrices


def hidden_weights(network: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """Return the weights of `network`'s convolutions from many maps to many, and all other parameters."""
    hidden: list[Tensor] = []
    others: list[Tensor] = []
    for parameter in network.parameters():
        (hidden if parameter.ndim > 1 and min(parameter.shape[:2]) > 1 else others).append(parameter)
    return hidden, others
