import pytest
import torch
import torch.nn.functional as F

from cxr.superres.kernels import convolution
from cxr.superres.kernels.convolution import conv_add, conv_relu, gradient_of_inputs, gradients

KINDS = [torch.float64, torch.float32, torch.bfloat16]
# bfloat16 keeps 8 bits of what is in the end rounded to it; float64 goes the way of devices without oneDNN.
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 2e-2}


def drawn(dtype: torch.dtype, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape) + shape[1])).to(dtype)


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("sides", [(3, 3), (5, 5), (5, 1), (1, 1)])
def test_gradients_go_back_through_convolution_and_relu_as_autograd_says(dtype, sides):
    before, weight = drawn(dtype, 2, 4, 9, 11), drawn(dtype, 3, 4, *sides)
    exact = before.double().requires_grad_()
    result = F.conv2d(exact.relu(), weight.double(), padding="same")
    behind = drawn(dtype, *result.shape)
    (expected,) = torch.autograd.grad(result, exact, behind.double())
    maps = before.relu().contiguous(memory_format=torch.channels_last)
    ours = gradient_of_inputs(behind, weight, (maps > 0).to(dtype))
    torch.testing.assert_close(ours.double(), expected, rtol=TOLERANCE[dtype], atol=10 * TOLERANCE[dtype])
    assert torch.equal(ours == 0, before <= 0)


@pytest.mark.parametrize("dtype", KINDS)
def test_relu_inside_the_convolution_is_relu_after_it(dtype):
    maps, weight, bias = drawn(dtype, 2, 4, 9, 11), drawn(dtype, 3, 4, 3, 3), drawn(dtype, 1, 3)[0]
    expected = F.conv2d(maps.double(), weight.double(), bias.double(), padding=1).relu()
    with torch.inference_mode():
        ours = conv_relu(maps, weight, bias, padding=1)
    torch.testing.assert_close(ours.double(), expected, rtol=TOLERANCE[dtype], atol=10 * TOLERANCE[dtype])
    weight.requires_grad_()
    conv_relu(maps, weight, bias, padding=1).sum().backward()
    assert weight.grad is not None


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("relu", [False, True])
def test_a_convolution_adds_to_what_is_there(dtype, layout, relu):
    maps, weight, there = drawn(dtype, 2, 4, 9, 11), drawn(dtype, 3, 4, 3, 3), drawn(dtype, 2, 3, 9, 11)
    expected = F.conv2d(maps.double(), weight.double(), padding=1) + there.double()
    with torch.inference_mode():
        ours = conv_add(maps, weight, there.contiguous(memory_format=layout), padding=1, relu=relu)
    expected = expected.relu() if relu else expected
    torch.testing.assert_close(ours.double(), expected, rtol=TOLERANCE[dtype], atol=10 * TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("capability", ["AVX2", "AVX512"])
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("wanted", [(True, True, True), (False, True, False), (True, False, False)])
def test_the_gradients_of_a_wide_convolution_are_those_of_autograd(monkeypatch, dtype, capability, padding, layout, wanted):
    monkeypatch.setattr(convolution, "get_cpu_capability", lambda: capability)
    maps, weight, bias = drawn(dtype, 3, 40, 9, 11), drawn(dtype, 33, 40, 3, 3), drawn(dtype, 1, 33)[0]
    exact = [tensor.double().requires_grad_() for tensor in (maps, weight, bias)]
    result = F.conv2d(*exact, padding=padding)
    behind = drawn(dtype, *result.shape)
    expected = torch.autograd.grad(result, exact, behind.double())
    found = gradients(behind.contiguous(memory_format=layout), maps.contiguous(memory_format=layout), weight, padding, wanted)
    for ours, theirs, of_it in zip(found, expected, wanted, strict=True):
        assert (ours is not None) == of_it
        if ours is not None:
            assert (ours.double() - theirs).norm() < TOLERANCE[dtype] * theirs.norm()
