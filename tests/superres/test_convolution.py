import pytest
import torch
import torch.nn.functional as F

from cxr.superres.kernels.convolution import conv_relu, gradient_before_relu, gradient_of_inputs, sums

KINDS = [torch.float64, torch.float32, torch.bfloat16]
# bfloat16 keeps 8 bits of what is in the end rounded to it.
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
    maps = before.relu().detach().contiguous(memory_format=torch.channels_last)
    ours = gradient_of_inputs(behind, weight, (maps > 0).to(dtype))
    torch.testing.assert_close(ours.double(), expected, rtol=TOLERANCE[dtype], atol=10 * TOLERANCE[dtype])
    assert torch.equal(ours == 0, before <= 0)
    if sides == (3, 3):
        with torch.no_grad():
            again = gradient_before_relu(behind, weight, maps)
        torch.testing.assert_close(again.double(), expected, rtol=TOLERANCE[dtype], atol=10 * TOLERANCE[dtype])


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
def test_sums_are_over_images_and_pixels(dtype):
    maps = drawn(dtype, 2, 4, 9, 11)
    expected = maps.double().sum((0, 2, 3))
    torch.testing.assert_close(sums(maps).double(), expected, rtol=TOLERANCE[dtype], atol=20 * TOLERANCE[dtype])
