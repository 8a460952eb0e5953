import copy

import numpy as np
import pytest
import torch
from torch import nn

from cxr.compute.soap import EVERY, SOAP
from cxr.superres.networks.srcnn import SRCNN


def test_a_vector_is_stepped_as_adam_steps_it():
    torch.manual_seed(0)
    ours, theirs = (nn.Parameter(torch.arange(5.0)) for _ in range(2))
    optimizers = SOAP([ours], lr=0.1, betas=(0.9, 0.99)), torch.optim.Adam([theirs], 0.1, betas=(0.9, 0.99))
    ours.grad = torch.randn(5)
    optimizers[0].step()  # the first gradient only sets the bases
    assert torch.equal(ours, theirs)
    for _ in range(4):
        ours.grad = theirs.grad = torch.randn(5)
        for optimizer in optimizers:
            optimizer.step()
    torch.testing.assert_close(ours, theirs)


def test_the_covariances_are_those_of_the_slices_along_each_axis():
    generator = torch.Generator().manual_seed(0)
    layers = [nn.Parameter(torch.zeros(3, 5, 2, 2)) for _ in range(2)]
    for weight in layers:
        weight.grad = torch.randn(3, 5, 2, 2, generator=generator)
    optimizer = SOAP(layers, lr=0.1)
    optimizer.step()
    names = ("oihw,pihw->op", "oihw,oivx->hwvx", "oihw,ojhw->ij")  # of out, of the taps together, of in
    for found, axis in zip(optimizer.covariances, names, strict=True):
        expected = np.stack([np.einsum(axis, weight.grad, weight.grad) for weight in layers])
        np.testing.assert_allclose(found, expected.reshape(found.shape), rtol=1e-4, atol=1e-5)


def test_dead_and_nearly_dead_filters_leave_the_weights_finite():
    # In a network that has been trained before, half of a layer's filters may get no gradient, and others hardly any.
    generator = torch.Generator().manual_seed(0)
    weights = [nn.Parameter(torch.zeros(64, 64, 3, 3)) for _ in range(60)]
    optimizer = SOAP(weights, lr=0.001)
    for _ in range(2):
        for weight in weights:
            alike = torch.randn(64, 2, generator=generator) @ torch.randn(2, 576, generator=generator)
            weight.grad = (1e-5 * alike * 10 ** (-4 * torch.rand(64, 1, generator=generator))).view(64, 64, 3, 3)
            weight.grad[::2] = 0
        optimizer.step()
    assert all(torch.isfinite(weight).all() for weight in weights)


def test_layers_of_one_shape_are_stepped_as_each_alone():
    generator = torch.Generator().manual_seed(0)
    together, alone = ([nn.Parameter(torch.zeros(6, 5, 3, 3)) for _ in range(3)] for _ in range(2))
    optimizers = [SOAP(together, lr=0.1), *(SOAP([weight], lr=0.1) for weight in alone)]
    for _ in range(2 * EVERY + 2):
        for one, other in zip(together, alone, strict=True):
            one.grad = other.grad = torch.randn(6, 5, 3, 3, generator=generator)
        for optimizer in optimizers:
            optimizer.step()
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-4)


def test_steps_are_those_of_the_paper_written_out():
    """Algorithm 3 for a matrix in float64, with the bases by a full eigenvalue decomposition at first, by QR after."""
    generator = np.random.default_rng(0)
    weight = nn.Parameter(torch.from_numpy(generator.normal(size=(4, 4, 1, 1))))
    optimizer = SOAP([weight], lr=0.1, betas=(0.8, 0.9))
    expected = weight.detach().numpy()[:, :, 0, 0].copy()
    for step in range(2 * EVERY + 2):
        gradient = generator.normal(size=(4, 4))
        weight.grad = torch.from_numpy(gradient)[:, :, None, None]
        optimizer.step()
        if step == 0:
            left, right, momentum, variance = gradient @ gradient.T, gradient.T @ gradient, np.zeros((4, 4)), np.zeros((4, 4))
            to_left, to_right = np.linalg.eigh(left)[1], np.linalg.eigh(right)[1]
            continue
        momentum = 0.8 * momentum + 0.2 * gradient
        variance = 0.9 * variance + 0.1 * (to_left.T @ gradient @ to_right) ** 2
        turned = to_left.T @ momentum @ to_right / (1 - 0.8**step)
        expected -= 0.1 * to_left @ (turned / (np.sqrt(variance / (1 - 0.9**step)) + 1e-8)) @ to_right.T
        left, right = 0.9 * left + 0.1 * gradient @ gradient.T, 0.9 * right + 0.1 * gradient.T @ gradient
        if step % EVERY == 0:
            rows = np.argsort(-np.diag(to_left.T @ left @ to_left))
            columns = np.argsort(-np.diag(to_right.T @ right @ to_right))
            variance = variance[rows][:, columns]
            to_left = np.linalg.qr(left @ to_left[:, rows])[0]
            to_right = np.linalg.qr(right @ to_right[:, columns])[0]
        np.testing.assert_allclose(weight.detach().numpy()[:, :, 0, 0], expected, rtol=1e-6)


def test_gradients_of_low_rank_do_not_throw_the_weights_away():
    weight = nn.Parameter(torch.ones(8, 8))
    optimizer = SOAP([weight], lr=0.01)
    for step in range(50):  # at first all slices are alike, so most directions have never been seen when they begin to count
        weight.grad = torch.ones(8, 8) + (step > 20) * torch.randn(8, 8, generator=torch.Generator().manual_seed(step))
        before = weight.detach().clone()
        optimizer.step()
        assert (weight - before).square().mean().sqrt() < 0.03


def test_a_network_whose_gradients_are_zero_stays_where_it_is():
    network = SRCNN()
    before = [parameter.detach().clone() for parameter in network.parameters()]
    optimizer = SOAP(list(network.parameters()), lr=0.1)
    for _ in range(EVERY + 1):
        for parameter in network.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
    for was, parameter in zip(before, network.parameters(), strict=True):
        assert torch.equal(was, parameter)


@pytest.mark.parametrize("steps", [1, 3])
def test_a_reloaded_state_goes_on_as_the_original(steps):
    def step(weight: nn.Parameter, optimizer: SOAP, seed: int) -> None:
        weight.grad = torch.randn(6, 5, 3, 3, generator=torch.Generator().manual_seed(seed))
        optimizer.step()

    original = nn.Parameter(torch.zeros(6, 5, 3, 3))
    optimizer = SOAP([original], lr=0.1)
    for seed in range(steps):
        step(original, optimizer, seed)
    twin = nn.Parameter(original.detach().clone())
    resumed = SOAP([twin], lr=0.1)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for seed in range(10, 14):
        step(original, optimizer, seed)
        step(twin, resumed, seed)
    assert torch.equal(original, twin)


def test_it_is_an_optimizer_as_torchs_own_are():
    weight = nn.Parameter(torch.ones(6, 5, 3, 3))
    optimizer = SOAP([weight], lr=0.1)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    steps: list[int] = []
    optimizer.register_step_post_hook(lambda *_: steps.append(len(steps)))

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        found = weight.square().sum()
        found.backward()
        return found

    first = optimizer.step(loss)
    schedule.step()
    for _ in range(3):
        assert optimizer.step(loss) <= first
        schedule.step()
    assert loss() < first
    assert steps == [0, 1, 2, 3]
    assert optimizer.param_groups[0]["lr"] == 0.1 / 16


def test_several_groups_of_parameters_are_refused():
    with pytest.raises(ValueError, match="one group"):
        SOAP([{"params": [nn.Parameter(torch.ones(2))]}, {"params": [nn.Parameter(torch.ones(2))]}], lr=0.1)
    with pytest.raises(ValueError, match="one group"):
        SOAP([nn.Parameter(torch.ones(2))], lr=0.1).add_param_group({"params": [nn.Parameter(torch.ones(2))]})
