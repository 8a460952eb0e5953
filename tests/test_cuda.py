"""What a CUDA GPU computes beside what a CPU does: for machines that have one."""

import numpy as np
import pytest
import torch
from torch import nn

from cxr.compute.cuda_graph import CudaGraphed
from cxr.compute.device import repeatable
from cxr.compute.soap import SOAP
from cxr.dataset.packed import Frames
from cxr.foundation.place import ROOT
from cxr.superres.degradation.enlargement import enlarge
from cxr.superres.enhance import restore
from cxr.superres.kernels.forms import AS_PUBLISHED
from cxr.superres.kernels.srcnn import FORMS as SRCNN_FORMS
from cxr.superres.kernels.vdsr import FORMS as VDSR_FORMS
from cxr.superres.model import load_model
from cxr.superres.network import is_post_upsampling
from cxr.superres.networks import edsr, srcnn, vdsr
from cxr.superres.networks.edsr import EDSR
from cxr.superres.networks.srcnn import SRCNN
from cxr.superres.networks.vdsr import VDSR
from cxr.superres.settings import Degradation, Ranges
from cxr.superres.told import Told
from cxr.superres.training import crops
from cxr.superres.training.crops import Crops, needed_margin
from cxr.superres.training.run import Run
from cxr.superres.training.settings import Augment, Training

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
ALL = [Degradation(scale) for scale in (2, 3, 4)]
NETWORKS = {
    "srcnn": (SRCNN, srcnn.start_from_bicubic, SRCNN_FORMS),
    "vdsr": (VDSR, vdsr.start_from_bicubic, VDSR_FORMS),
    "edsr": (EDSR, edsr.start_from_bicubic, AS_PUBLISHED),
}
FOURIER = {"srcnn": 0.0, "vdsr": 0.0, "edsr": 1.0}  # as params.yaml


def run(name: str, device: torch.device, precision: torch.dtype, degradations=ALL[:1]) -> Run:
    make, start, forms = NETWORKS[name]
    network = make()
    start(network, 0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.003)
    network = nn.utils.convert_conv2d_weight_memory_format(network.to(device), torch.channels_last)
    settings = Training(100, 6, 36, "soap", 2, 0.001, "cosine", FOURIER[name], 1, "auto", 1, 0)
    return Run(network, settings, degradations, precision, forms=forms)


def batch(name: str) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    inputs = nn.functional.avg_pool2d(torch.rand(6, 1, 40, 40, generator=generator), 5, 1)
    given = [inputs]
    if name == "edsr":
        given = [inputs[..., ::2, ::2], enlarge(inputs[..., ::2, ::2], 2)]
    return [*given, (given[-1] + 0.02 * torch.randn(inputs.shape, generator=generator)).clamp(0, 1)]


def gradients(of: Run) -> torch.Tensor:
    return torch.cat([parameter.grad.flatten().cpu() for parameter in of.network.parameters()])


@pytest.fixture(autouse=True)
def _as_in_training():
    with repeatable():
        yield


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("precision", "furthest"), [(torch.float32, 2e-5), (torch.bfloat16, 1e-2)])
def test_gradients_are_those_of_a_cpu_in_float32(name, precision, furthest):
    given = batch(name)
    theirs, ours = run(name, CPU, torch.float32), run(name, CUDA, precision)
    expected = theirs.compute_gradients(*given)
    found = ours.compute_gradients(*(each.to(CUDA) for each in given)).cpu()
    torch.testing.assert_close(found, expected, rtol=furthest, atol=1e-6)
    wanted = gradients(theirs)
    assert (gradients(ours) - wanted).norm() < furthest * wanted.norm()


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_recorded_work_does_what_it_does_kernel_by_kernel(name, precision):
    given = [each.to(CUDA) for each in batch(name)]
    ours = run(name, CUDA, precision)
    ours._clipped(*given)
    expected = gradients(ours)
    recorded = CudaGraphed(ours._clipped)
    for _ in range(3):
        recorded(given[0].flip(0), *given[1:])
        recorded(*given)
        assert torch.equal(gradients(ours), expected)


def test_soap_steps_as_on_a_cpu():
    generator = torch.Generator().manual_seed(0)
    shapes = [(6, 5, 3, 3), (6, 5, 3, 3), (6, 5, 1, 1), (6,)]  # whose covariances have unique eigenvectors
    theirs = [nn.Parameter(torch.randn(shape, dtype=torch.float64, generator=generator)) for shape in shapes]
    ours = [nn.Parameter(weight.detach().to(CUDA)) for weight in theirs]
    optimizers = SOAP(theirs, lr=0.1, every=3), SOAP(ours, lr=0.1, every=3)
    for step in range(14):  # turns are recorded at the sixth
        for optimizer in optimizers:
            optimizer.param_groups[0]["lr"] = 0.1 / (1 + step)
        for one, other in zip(theirs, ours, strict=True):
            one.grad = torch.randn(one.shape, dtype=torch.float64, generator=generator)
            other.grad = one.grad.to(CUDA)
        for optimizer in optimizers:
            optimizer.step()
        if step == 9:
            optimizers[1].load_state_dict(optimizers[1].state_dict())
    for one, other in zip(theirs, ours, strict=True):
        torch.testing.assert_close(other.cpu(), one, rtol=0, atol=1e-5)  # rates are sent in float32


def test_crops_are_those_of_a_cpu(monkeypatch):
    images = Frames.of(np.random.default_rng(0).integers(0, 256, (5, 144, 144), dtype=np.uint8))
    augment = Augment(flip=True, zoom=0.7, rotation=5.0, warped=0.5)
    on_cpu, stored = (Crops(images, np.array([4, 0, 2]), augment, 36, 7, 0, d, margin=needed_margin(ALL)) for d in (CPU, CUDA))
    monkeypatch.setattr(crops, "ROOM", 0)
    sent = Crops(images, np.array([4, 0, 2]), augment, 36, 7, 0, CUDA, margin=needed_margin(ALL))
    assert stored.stored is not None
    assert sent.stored is None
    other = []
    for step in range(20):
        (inputs, truth), *found = (each.observed(step, ALL) for each in (on_cpu, stored, sent))
        for ours, target in found:
            torch.testing.assert_close(target.cpu(), truth, rtol=0, atol=1e-4)
            torch.testing.assert_close(ours.cpu(), inputs, rtol=0, atol=1.5 / 255)
            other.append(((ours.cpu() - inputs).abs() > 1e-4).float().mean().item())
    # Where a last bit decides how one low-resolution pixel of so many is rounded, the up to 256 pixels around it are others.
    assert np.mean(other) < 1e-3


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_two_runs_are_equal_bit_for_bit(name, precision):
    images = Frames.of(np.random.default_rng(0).integers(0, 256, (5, 144, 144), dtype=np.uint8))
    trained = []
    for _ in range(2):
        ours = run(name, CUDA, precision, ALL)
        how = {"margin": needed_margin(ALL), "post_upsampling": is_post_upsampling(ours.network)}
        crops = Crops(images, np.arange(5), Augment(True, 0.7, 5.0, 0.5), 36, 6, 0, CUDA, **how)
        for step in range(23):
            ours.train_step(*crops.observed(step, ALL))
        trained.append([*ours.network.parameters(), *ours.averaged.parameters(), ours.losses.sums])
    assert all(torch.equal(*pair) for pair in zip(*trained, strict=True))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_told_network_restores_as_on_a_cpu(scale):
    low = nn.functional.avg_pool2d(torch.rand(2, 1, 68, 76, generator=torch.Generator().manual_seed(0)), 5, 1)
    told = Told(3.0, depends_on_signal=True, jpeg=80)
    on_cpu, on_cuda = (load_model(ROOT / "pretrained/edsr.safetensors", device) for device in (CPU, CUDA))
    made = restore(on_cuda, low.to(CUDA), scale, arrival=told).cpu()
    torch.testing.assert_close(made, restore(on_cpu, low, scale, arrival=told), rtol=0, atol=1e-2)  # in bfloat16
    assert not torch.allclose(made, restore(on_cuda, low.to(CUDA), scale, arrival=Told()).cpu(), atol=1e-3)


def test_told_crops_are_those_of_a_cpu():
    images = Frames.of(np.random.default_rng(0).integers(0, 256, (5, 144, 144), dtype=np.uint8))
    augment, ranges = Augment(True, 0.7, 5.0, 0.5), Ranges(0.3, 1.2, 6.0, (1000.0, 20000.0), 1.0, (60, 95))
    how = {"margin": needed_margin([ranges.widest(2)]), "post_upsampling": True, "ranges": ranges, "told": True}
    degradations = [Degradation(2, condition="ranges")]
    one, other = (Crops(images, np.arange(5), augment, 36, 6, 0, device, **how) for device in (CPU, CUDA))
    for step in range(10):
        for ours, theirs in zip(one.observed(step, degradations), other.observed(step, degradations), strict=True):
            # Where a last bit decides how a cosine is rounded, JPEG makes a block of 8x8 another.
            assert ((theirs.cpu() - ours).abs() > 1.5 / 255).float().mean() < 0.01
