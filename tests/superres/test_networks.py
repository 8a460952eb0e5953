from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.signal import correlate2d
from torch import nn

from cxr.compute import modelfile
from cxr.superres.architectures.srcnn import Mapping
from cxr.superres.degradation.enlargement import enlarge
from cxr.superres.degradation.reduction import low_resolution
from cxr.superres.kernels.forms import Published
from cxr.superres.kernels.srcnn import FORMS as SRCNN_FORMS
from cxr.superres.kernels.srcnn_around_level import AroundLevel
from cxr.superres.kernels.srcnn_columns import Columns
from cxr.superres.kernels.vdsr import FORMS as VDSR_FORMS
from cxr.superres.kernels.vdsr import ByHand, InOnePass
from cxr.superres.model import load_model
from cxr.superres.networks import srcnn, vdsr
from cxr.superres.networks.srcnn import SRCNN
from cxr.superres.networks.vdsr import VDSR
from tests.support.phantoms import square

PRETRAINED = Path(__file__).parents[2] / "pretrained/srcnn.safetensors"
NETWORKS = [SRCNN, VDSR]
LEARNING = [(SRCNN, Published), (SRCNN, Columns), (VDSR, Published), (VDSR, ByHand)]
STARTS = [(SRCNN, srcnn.start_from_bicubic), (VDSR, vdsr.start_from_bicubic)]


def convolutions(network: nn.Module) -> list[nn.Conv2d]:
    return [module for module in network.modules() if isinstance(module, nn.Conv2d)]


def by_hand(layers: list[nn.Conv2d], image: np.ndarray, border: str) -> np.ndarray:
    """Run the layers with SciPy in float64: correlation with a `border` of zeros or copies, bias, ReLU between layers."""
    maps = [image.astype(float)]
    for i, layer in enumerate(layers):
        weight, bias = layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()
        padded = [np.pad(one, layer.kernel_size[0] // 2, mode=border) for one in maps]
        outputs = [
            bias[o] + sum(correlate2d(padded[j], weight[o, j], mode="valid") for j in range(len(maps)))
            for o in range(len(bias))
        ]
        maps = outputs if i == len(layers) - 1 else [np.maximum(output, 0) for output in outputs]
    return maps[0]


@pytest.mark.parametrize(("network", "parameters"), [(SRCNN, 57_281), (VDSR, 665_921)])
def test_parameters_are_as_published(network, parameters):
    assert sum(parameter.numel() for parameter in network().parameters()) == parameters


def test_the_layers_are_those_of_the_papers_in_order():
    shapes = [(c.in_channels, c.out_channels, c.kernel_size[0], c.bias is not None) for c in convolutions(SRCNN())]
    assert shapes == [(1, 64, 9, True), (64, 32, 5, True), (32, 1, 5, True)]
    shapes = [(c.in_channels, c.out_channels, c.kernel_size[0], c.bias is not None) for c in convolutions(VDSR())]
    assert shapes == [(1, 64, 3, True), *[(64, 64, 3, True)] * 18, (64, 1, 3, True)]


def test_srcnn_starts_as_published():
    torch.manual_seed(0)
    for layer in convolutions(SRCNN()):
        assert layer.weight.std().item() == pytest.approx(0.001, rel=0.1)
        assert not layer.bias.any()


def test_vdsr_starts_as_he_proposed():
    torch.manual_seed(0)
    for layer in convolutions(VDSR()):
        assert layer.weight.std().item() == pytest.approx((2 / (9 * layer.in_channels)) ** 0.5, rel=0.1)
        assert not layer.bias.any()


@pytest.mark.parametrize(("mapping", "weights"), [(1, 8_032), (3, 24_416), (5, 57_184)])
def test_srcnns_of_every_mapping_have_the_published_number_of_weights(mapping, weights):
    assert sum(layer.weight.numel() for layer in convolutions(SRCNN(mapping))) == weights  # section 4.3.3


@pytest.mark.parametrize("form", [Published, AroundLevel, Columns])
@pytest.mark.parametrize("mapping", [1, 3, 5])
def test_srcnn_computes_what_scipy_computes(mapping, form):
    torch.manual_seed(0)
    network = SRCNN(mapping)
    for layer in convolutions(network):
        nn.init.normal_(layer.weight, std=0.05)
        nn.init.normal_(layer.bias, std=0.05)
    image = torch.rand(1, 1, 13, 11)
    found = form(network, torch.float32)(image)[0, 0].detach()
    np.testing.assert_allclose(found, by_hand(convolutions(network), image[0, 0].numpy(), "edge"), atol=1e-5)


@pytest.mark.parametrize("form", [Published, ByHand, InOnePass])
def test_vdsr_adds_what_scipy_computes_to_its_input(form):
    torch.manual_seed(0)
    network = VDSR()
    image = torch.rand(1, 1, 8, 7)
    expected = image[0, 0].numpy() + by_hand(convolutions(network), image[0, 0].numpy(), "constant")
    np.testing.assert_allclose(form(network, torch.float32)(image)[0, 0].detach(), expected, atol=1e-4)


@pytest.mark.parametrize(("network", "start"), STARTS)
def test_an_untrained_network_returns_the_bicubic_image(network, start):
    untrained = network()
    start(untrained, seed=1)
    image = torch.rand(2, 1, 30, 30)
    torch.testing.assert_close(untrained(image), image)


@pytest.mark.parametrize(("network", "start"), STARTS)
def test_every_layer_learns_from_the_start(network, start):
    untrained = network()
    start(untrained, seed=1)
    optimizer = torch.optim.SGD(untrained.parameters(), lr=0.1)
    image = torch.rand(2, 1, 30, 30)
    for _ in range(2):  # behind a last layer of zeros the others have no gradient in the very first step
        optimizer.zero_grad()
        (untrained(image) - image.square()).square().mean().backward()
        optimizer.step()
    assert all(layer.weight.grad.abs().sum() > 0 for layer in convolutions(untrained))


@pytest.mark.parametrize(("network", "start"), STARTS)
def test_the_start_is_a_function_of_its_seed(network, start):
    first, again, other = network(), network(), network()
    start(first, seed=1)
    start(again, seed=1)
    start(other, seed=2)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("network", [*NETWORKS, lambda: SRCNN(1), lambda: SRCNN(3)])
def test_the_halo_is_as_far_as_an_output_pixel_sees(network):
    torch.manual_seed(0)
    untrained = network()
    for layer in convolutions(untrained):  # positive, so that ReLU hides no path
        nn.init.constant_(layer.weight, 0.01)
    size = 2 * untrained.halo + 5
    image = torch.ones(1, 1, size, size, requires_grad=True)
    untrained(image)[0, 0, size // 2, size // 2].backward()
    seen = image.grad[0, 0].nonzero()
    assert (seen - size // 2).abs().max().item() == untrained.halo


def busy_srcnn(mapping: Mapping = 5) -> SRCNN:
    """Return a network that carries the image and whose other filters, some of them silenced by ReLU, add to it."""
    network = SRCNN(mapping)
    srcnn.start_from_bicubic(network, seed=0)
    generator = torch.Generator().manual_seed(1)
    for layer in convolutions(network)[:2]:
        nn.init.normal_(layer.bias, std=0.1, generator=generator)
    with torch.no_grad():
        convolutions(network)[-1].weight[:, 1:] = 0.01 * torch.randn(1, 31, 5, 5, generator=generator)
    return network


@pytest.mark.parametrize(("network", "form"), LEARNING)
def test_gradients_are_finite_differences(network, form):
    trained = network().double()
    dict(STARTS)[network](trained, seed=0)
    generator = torch.Generator().manual_seed(1)
    trained = nn.utils.convert_conv2d_weight_memory_format(trained, torch.channels_last)
    last = convolutions(trained)[-1].weight
    image, way = (torch.rand(2, 1, 14, 12, dtype=torch.float64, generator=generator) for _ in range(2))
    with torch.no_grad():
        last.copy_(0.1 * torch.randn(last.shape, dtype=torch.float64, generator=generator))
        for layer in convolutions(trained)[:-1]:
            nn.init.normal_(layer.bias, std=0.01, generator=generator)
    learning = form(trained, torch.float64)
    (learning(image.requires_grad_()) * way).sum().backward()
    for tensor in [image, *trained.parameters()]:
        step = torch.randn(tensor.shape, dtype=torch.float64, generator=generator)
        sums = []
        with torch.no_grad():
            for sign in (1, -1):
                tensor.add_(step, alpha=sign * 1e-8)
                sums.append((learning(image) * way).sum().item())
                tensor.sub_(step, alpha=sign * 1e-8)
        assert (tensor.grad * step).sum().item() == pytest.approx((sums[0] - sums[1]) / 2e-8, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("form", [AroundLevel, Columns])
@pytest.mark.parametrize("mapping", [1, 3, 5])
@pytest.mark.parametrize("size", [(21, 26), (1, 1), (3, 1), (2, 5)])  # some with fewer pixels than their borders
def test_the_forms_of_srcnn_are_the_same_network(mapping, size, form):
    network, image = busy_srcnn(mapping), torch.rand(2, 1, *size, generator=torch.Generator().manual_seed(2)).requires_grad_()
    answers = form(network, torch.float32)(image), network(image)
    torch.testing.assert_close(*answers, atol=1e-5, rtol=0)
    gradients = [torch.autograd.grad(answer.square().mean(), [image, *network.parameters()]) for answer in answers]
    for ours, plain in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-3, atol=1e-5)


def test_the_forms_of_vdsr_that_learn_have_the_same_gradients():
    torch.manual_seed(0)
    network, image = VDSR(), torch.rand(2, 1, 11, 9).requires_grad_()
    answers = ByHand(network, torch.float32)(image), network(image)
    gradients = [torch.autograd.grad(answer.square().mean(), [image, *network.parameters()]) for answer in answers]
    for ours, plain in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-3, atol=1e-5)


def test_a_form_is_chosen_by_device_and_precision():
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    both = [(device, precision) for device in (cpu, gpu) for precision in (torch.float32, torch.bfloat16)]
    assert [SRCNN_FORMS.to_learn(*each) for each in both] == ["published", "around_level", "columns", "around_level"]
    assert [SRCNN_FORMS.to_restore(*each) for each in both] == ["published", "around_level", "columns", "around_level"]
    assert [VDSR_FORMS.to_learn(*each) for each in both] == ["published", "published", "by_hand", "by_hand"]
    assert [VDSR_FORMS.to_restore(*each) for each in both] == ["published", "published", "in_one_pass", "in_one_pass"]
    assert isinstance(VDSR_FORMS.learning(VDSR(), gpu, torch.bfloat16), ByHand)
    assert isinstance(SRCNN_FORMS.restoring(SRCNN(), cpu, torch.float32), Published)


def test_srcnn_loses_nothing_visible_of_a_radiograph_in_bfloat16():
    network = busy_srcnn()
    image = torch.from_numpy(square(0, 0, 96))[None, None].float() / 255
    rough = AroundLevel(network, torch.bfloat16)(image)
    assert rough.dtype == torch.float32
    exact = network(image)
    assert (exact - image).abs().max() > 2 / 255  # there is something to lose
    assert (rough - exact).abs().mean() < 0.15 / 255


def test_a_trained_srcnn_loses_nothing_of_the_level_of_a_crop_in_bfloat16():
    crops = torch.from_numpy(square(0, 0, 256)).float().div(255).unfold(0, 64, 64).unfold(1, 64, 64).reshape(-1, 1, 64, 64)
    for weights in modelfile.read(PRETRAINED)[0].values():
        network = SRCNN()
        network.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
        with torch.no_grad():
            off = 255 * (AroundLevel(network, torch.bfloat16)(crops) - network(crops))
        assert off.mean((1, 2, 3)).abs().max() < 0.06  # grey levels
        assert off.square().mean().sqrt() < 0.5


@pytest.mark.parametrize("form", [Published, ByHand, InOnePass])
def test_vdsr_loses_nothing_visible_in_bfloat16(form):
    torch.manual_seed(0)
    network = VDSR()
    nn.init.normal_(convolutions(network)[-1].weight, std=0.001)
    image = torch.rand(1, 1, 40, 40)
    with torch.no_grad():
        rough = form(network, torch.bfloat16)(image)
    exact = network(image)
    assert (exact - image).abs().max() > 2 / 255  # there is a residual to lose
    assert (rough - exact).abs().max() < 0.25 / 255


@pytest.mark.parametrize("form", [Published, ByHand, InOnePass])
def test_vdsr_sees_detail_finer_than_bfloat16_holds_in_a_bright_image(form):
    torch.manual_seed(0)
    network = VDSR()
    first = convolutions(network)[0]
    with torch.no_grad():  # as a trained network, it looks at detail, not at the level
        first.weight -= first.weight.mean((2, 3), keepdim=True)
    image = 0.75 + 0.02 * torch.rand(1, 1, 56, 56)  # where bfloat16's steps are a grey level wide
    with torch.no_grad():
        rough = form(network, torch.bfloat16)(image)
    exact = network(image)
    inner = (..., slice(network.halo, -network.halo), slice(network.halo, -network.halo))  # out of the zero padding's sight
    assert (rough - exact)[inner].std() < 0.1 * (exact - image)[inner].std()


@pytest.mark.parametrize("form", [Published, InOnePass])
def test_weights_as_multiplied_are_the_same_in_bfloat16_and_nearer_to_it_in_float32(form):
    network = load_model(PRETRAINED.with_name("vdsr.safetensors"), torch.device("cpu")).networks[2]
    with torch.no_grad():
        for parameter in network.parameters():  # weights between those that bfloat16 holds
            parameter.mul_(1 + 0.003 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    bicubic = enlarge(low_resolution(torch.from_numpy(square(0, 0, 96))[None, None].float() / 255, 2), 2)

    def made() -> tuple[torch.Tensor, torch.Tensor]:
        with torch.inference_mode():
            return network(bicubic), form(network, torch.bfloat16)(bicubic)

    exact, rough = made()
    network.load_state_dict(vdsr.as_multiplied(network.state_dict(), torch.bfloat16))
    exact_now, rough_now = made()
    assert torch.equal(rough_now, rough)
    assert not torch.equal(exact_now, exact)
    assert (rough_now - exact_now).square().mean() < 0.7 * (rough - exact).square().mean()
