"""Costs are those that the papers and a count by hand give."""

import pytest
import torch

from cxr.superres.cost import minutes, multiply_adds, weights
from cxr.superres.duration import note
from cxr.superres.model import Model, load_model
from cxr.superres.networks.edsr import EDSR

CPU = torch.device("cpu")


def edsr() -> Model:
    network = EDSR()
    networks = dict.fromkeys((2, 3, 4), network)
    return Model("edsr", networks, networks, {}, "", CPU, torch.float32)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_weights_are_those_of_the_layers_that_make_an_image_at_the_scale(scale):
    assert weights(load_model("vdsr", CPU), scale) == 665_921
    assert weights(load_model("srcnn", CPU), scale) == 57_281  # one network for each scale
    assert weights(edsr(), scale) == 645_149 - 577 * (4 + 9 + 16 - scale**2)  # without the other scales' last layers


def test_minutes_of_training_are_told_of_the_model_that_they_led_to_alone(tmp_path):
    model = tmp_path / "edsr.safetensors"
    model.write_bytes(b"first")
    assert minutes(tmp_path, "edsr", model) is None
    note(tmp_path, "edsr", model, 90)
    assert minutes(tmp_path, "edsr", model) == 1.5
    assert minutes(tmp_path, "vdsr", model) is None
    model.write_bytes(b"second")
    assert minutes(tmp_path, "edsr", model) is None


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_multiply_adds_are_those_of_the_layers(scale):
    assert multiply_adds(load_model("srcnn", CPU), scale) == 57_184  # section 4.3.3 of its paper: so many weights
    assert multiply_adds(load_model("vdsr", CPU), scale) == 9 * (64 + 18 * 64 * 64 + 64)
    assert multiply_adds(edsr(), scale) == 9 * (64 + 17 * 64 * 64 + 64 * scale**2) / scale**2


def test_counting_leaves_the_network_as_it_was():
    model = edsr()
    before = model.networks[2].head.weight.clone()
    multiply_adds(model, 2)
    assert torch.equal(model.networks[2].head.weight, before)
    assert not any(layer._forward_hooks for layer in model.networks[2].modules())
