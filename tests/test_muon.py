import numpy as np
import torch
from torch import nn

from superres.models.srcnn import SRCNN
from superres.models.vdsr import VDSR
from superres.muon import Muon, hidden_weights, orthogonalised


def test_orthogonalising_keeps_singular_vectors_and_evens_singular_values():
    matrices = torch.randn(3, 16, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for before, after in zip(matrices.numpy(), orthogonalised(matrices).numpy(), strict=True):
        left, values, right = np.linalg.svd(before, full_matrices=False)
        in_that_basis = left.T @ after @ right.T
        np.testing.assert_allclose(in_that_basis - np.diag(np.diag(in_that_basis)), 0, atol=1e-10)
        assert values.max() / values.min() > 3
        assert ((np.diag(in_that_basis) > 0.6) & (np.diag(in_that_basis) < 1.3)).all()


def test_a_step_is_that_of_the_paper_written_out():
    torch.manual_seed(0)
    weights = [
        nn.Parameter(torch.randn(4, 3, 3, 3)),
        nn.Parameter(torch.randn(4, 3, 3, 3)),
        nn.Parameter(torch.randn(5, 2, 3, 3)),
    ]
    expected = [weight.detach().clone() for weight in weights]
    momenta = [torch.zeros_like(weight) for weight in weights]
    optimizer = Muon([{"params": weights}], lr=0.1, momentum=0.9)
    for _ in range(3):
        for i, weight in enumerate(weights):
            weight.grad = torch.randn_like(weight)
            momenta[i] = 0.9 * momenta[i] + 0.1 * weight.grad
            looked_ahead = 0.1 * weight.grad + 0.9 * momenta[i]
            matrix = looked_ahead.flatten(1)
            matrix = matrix / matrix.norm()
            for _ in range(5):
                product = matrix @ matrix.T
                matrix = 3.4445 * matrix + (-4.7750 * product + 2.0315 * product @ product) @ matrix
            expected[i] -= 0.1 * matrix.view_as(weight)
        optimizer.step()
    for weight, value in zip(weights, expected, strict=True):
        torch.testing.assert_close(weight.detach(), value)


def test_hidden_layers_are_those_from_many_maps_to_many():
    hidden, others = hidden_weights(VDSR())
    assert [tuple(weight.shape) for weight in hidden] == [(64, 64, 3, 3)] * 18
    assert sum(p.numel() for p in hidden) + sum(p.numel() for p in others) == 665_921
    hidden, others = hidden_weights(SRCNN())
    assert [tuple(weight.shape) for weight in hidden] == [(32, 64, 5, 5)]
    assert len(others) == 5
