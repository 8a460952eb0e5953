import sys
import types
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from cxr.dataset.packed import Frames
from cxr.detection import classifier as classifier_module
from cxr.detection.classifier import classifier, lacking, predicted, train
from cxr.detection.compact import Compact, standardised
from cxr.detection.settings import Diagnose
from cxr.foundation.errors import UserError
from cxr.measures.areas import placed

SETTINGS = Diagnose("compact", 40, 8, 0.005, 0)
CPU = torch.device("cpu")


def radiographs(count=60, size=48):
    """Noise, with a soft bright spot somewhere in every other image."""
    source = np.random.default_rng(0)
    images = source.normal(100, 12, (count, size, size))
    ill = np.arange(count) % 2 == 1
    rows, columns = np.mgrid[:size, :size]
    for number in np.flatnonzero(ill):
        y, x = source.integers(10, size - 10, 2)
        images[number] += 90 * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 30)
    return Frames.of(images.clip(0, 255).astype(np.uint8)), ill


def trained(images, ill, **changes):
    rows = np.arange(len(ill))
    return train(images, ill, rows[:32], rows[32:44], replace(SETTINGS, **changes), CPU)


def test_it_learns_what_tells_the_classes_apart():
    images, ill = radiographs()
    network = trained(images, ill)
    scores = predicted(network, images, np.arange(44, 60)).double().numpy()
    assert placed(scores, ill[44:]).area > 0.95


def test_labels_that_say_nothing_are_not_learnt():
    images, _ = radiographs()
    ill = np.random.default_rng(1).random(60) < 0.5
    scores = predicted(trained(images, ill), images, np.arange(44, 60)).double().numpy()
    assert placed(scores, ill[44:]).area < 0.9


def test_training_repeats_and_leaves_the_global_generator_alone():
    images, ill = radiographs()
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    first, again, other = (trained(images, ill, epochs=2, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.rand(1), expected)
    for a, b in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(first.head.weight, other.head.weight)


def test_exposure_tells_the_network_nothing():
    torch.manual_seed(0)
    network = Compact().eval()
    images = torch.rand(2, 1, 64, 50)
    assert network(images).tolist() == pytest.approx(network(images * 0.5 + 0.2).tolist(), abs=1e-4)
    assert sum(parameter.numel() for parameter in network.parameters()) == 190_001
    assert torch.equal(standardised(torch.full((1, 1, 4, 4), 0.5)), torch.zeros(1, 1, 4, 4))


def test_images_are_moved_and_mirrored_and_nothing_else():
    images = torch.rand(6, 1, 40, 40)
    moved = classifier_module._moved(images, torch.Generator().manual_seed(0))
    seen = set()
    for image, found in zip(images, moved, strict=True):
        around = np.pad(image[0].numpy(), 16, mode="reflect")
        places = [
            (y, x, mirrored)
            for y in range(33)
            for x in range(33)
            for mirrored in (False, True)
            if np.array_equal(np.flip(found[0].numpy(), 1) if mirrored else found[0].numpy(), around[y : y + 40, x : x + 40])
        ]
        assert len(places) == 1
        seen.add(places[0])
    assert len(seen) == 6
    assert {mirrored for *_, mirrored in seen} == {False, True}


def test_rows_come_in_the_order_asked_for():
    images = np.arange(5, dtype=np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8)
    found = classifier_module._pixels(Frames.of(images), np.array([3, 0, 4]), CPU)
    assert (found[:, 0, 0, 0] * 255).round().tolist() == [3, 0, 4]


def test_what_lies_beside_the_central_squares_is_not_seen():
    squares, ill = radiographs(44, 40)
    source = np.random.default_rng(3)
    wide = []
    for number, square in enumerate(squares):
        margins = source.integers(0, 256, (2, 40, number % 9)).astype(np.uint8)
        frame = np.concatenate([margins[0], square.pixels, margins[1]], axis=1)
        wide.append(frame.T if number % 2 else frame)
    upright = Frames.of([frame.pixels.T if number % 2 else frame.pixels for number, frame in enumerate(squares)])
    first, second = (trained(images, ill, epochs=1) for images in (upright, Frames.of(wide)))
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)
    expected = predicted(first, upright)
    assert torch.equal(predicted(second, Frames.of(wide)), expected)
    tensors = [torch.from_numpy(each)[None, None].float() / 255 for each in wide]
    torch.testing.assert_close(predicted(second, tensors), expected)


def test_an_odd_column_too_many_goes_from_the_right():
    frame = torch.arange(35).view(1, 1, 5, 7)[..., :6].float()
    assert classifier_module.central_square(frame)[0, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert classifier_module.central_square(frame.mT)[0, 0, :, 0].tolist() == [0, 1, 2, 3, 4]


def test_deep_images_are_seen_from_black_to_white():
    levels = np.random.default_rng(0).integers(0, 256, (3, 20, 30)).astype(np.uint16)
    seen = [classifier_module._pixels(Frames.of(*each), [2, 0], CPU) for each in ((levels * 257, 16), (levels, 8))]
    torch.testing.assert_close(*seen, rtol=0, atol=1e-6)


def test_a_part_of_one_class_is_found():
    ill = np.array([True, False, True, True])
    assert lacking(ill, {"training": np.arange(2), "test": np.arange(4)}) is None
    assert "the test images are not of both classes" in str(lacking(ill, {"training": np.arange(2), "test": np.arange(2, 4)}))
    assert "the validation images" in str(lacking(ill, {"validation": np.arange(0)}))


def test_a_backbone_sees_grey_as_imagenet_was(monkeypatch):
    seen = []

    class Fake(nn.Module):
        def forward(self, images):
            seen.append(images)
            return images.mean((2, 3)).repeat(1, 334)[:, :1000]

    models = types.ModuleType("torchvision.models")
    models.get_model = lambda name, weights: Fake() if (name, weights) == ("resnet18", "DEFAULT") else None
    monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.models", models)
    network = classifier("torchvision:resnet18")
    assert network(torch.rand(3, 1, 20, 20)).shape == (3,)
    (images,) = seen
    assert images.shape == (3, 3, 20, 20)
    assert torch.equal(images[:, 0], images[:, 2])
    grey = images * 0.226 + 0.449
    assert 0 <= grey.min() <= grey.max() <= 1
    assert grey.mean().item() == pytest.approx(0.449, abs=0.02)


@pytest.mark.parametrize("package", ["torchvision", "timm"])
def test_a_backbone_that_is_not_there_is_told(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setitem(sys.modules, f"{package}.models", None)
    with pytest.raises(UserError, match=f"{package} is not installed; pip install it, or use compact"):
        classifier(f"{package}:resnet18")


def test_a_backbone_for_another_torch_is_told(monkeypatch, tmp_path):
    (tmp_path / "timm.py").write_text("raise RuntimeError('operator torchvision::nms\\ndoes not exist')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    with pytest.raises(
        UserError, match=r"this timm is not made for torch 2\S+ \(operator torchvision::nms does not exist\); install"
    ):
        classifier("timm:resnet18")


def test_a_backbone_without_weights_is_told(monkeypatch):
    timm = types.ModuleType("timm")

    def create_model(name, pretrained):
        raise RuntimeError(f"no pretrained weights\nfor {name}")

    timm.create_model = create_model
    monkeypatch.setitem(sys.modules, "timm", timm)
    with pytest.raises(UserError, match=r"diagnose\.network timm:nothing: no pretrained weights for nothing; name another"):
        classifier("timm:nothing")
