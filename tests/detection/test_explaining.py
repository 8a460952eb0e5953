"""Where a detector looks."""

import numpy as np
import pytest
import torch
from torch import nn

from cxr.detection.detector import Detector, Network
from cxr.detection.evaluation.heat import Looked, covered, hits, pointing
from cxr.detection.evaluation.pictures import chosen
from cxr.detection.evaluation.report import pointed
from cxr.detection.explaining import has_map, heat_maps, inside, peak, randomised, shown
from cxr.detection.networks.backbones import OnPhotographs, backbone
from cxr.detection.networks.compact import Compact
from cxr.foundation.errors import UserError


def test_where_features_are_averaged_it_is_the_class_activation_map():
    """Zhou et al. (2016): the sum of the features, each weighed as the finding weighs its mean; averaged it is the logit."""
    torch.manual_seed(0)
    network = Network(backbone("lite0", 96, learnt=False), 2)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
    network.train()(torch.rand(4, 1, 96, 96))  # so that features are as large as those of a network that has learnt
    network.eval()
    square = torch.rand(1, 1, 96, 96)
    found = heat_maps(network, square)
    features = []
    network.body.network.top.register_forward_hook(lambda _layer, _given, made: features.append(made))
    logits = network(square)[0]
    expected = torch.einsum("fc,chw->fhw", network.head.weight, features[0][0])
    assert found.shape == (2, 3, 3)
    assert expected.std() > 0.01
    np.testing.assert_allclose(found * 9, expected.detach().numpy(), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(
        expected.mean((1, 2)).detach() + network.head.bias.detach(), logits.detach(), rtol=1e-3, atol=1e-5
    )


def test_of_mean_and_maximum_both_weights_count():
    torch.manual_seed(0)
    network = Network(Compact(), 3).eval()
    square = torch.rand(1, 1, 128, 128)
    features = []
    network.body.layers[-1].register_forward_hook(lambda _layer, _given, made: features.append(made))
    network(square)
    weights = network.head.weight.detach()
    both = (weights[:, :128] + weights[:, 128:]) / 16  # a mean of 4x4 places, and the slope of one of them, averaged over 16
    live = features[0][0].amax((1, 2)) > 0  # elsewhere nothing is greatest
    expected = torch.einsum("fc,chw->fhw", both[:, live], features[0][0][live])
    np.testing.assert_allclose(heat_maps(network, square), expected.detach().numpy(), rtol=1e-3, atol=1e-6)


class Bright(nn.Module):
    """Its one feature is how bright a place is."""

    width = 1

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(8)

    def forward(self, images):
        return self.pool(images).mean((2, 3))


@pytest.mark.parametrize(("row", "column"), [(0, 0), (3, 6), (7, 1)])
def test_a_map_is_greatest_where_the_finding_is(row, column):
    network = Network(Bright(), 1)
    with torch.no_grad():
        network.head.weight.fill_(2.0)
    square = torch.rand(1, 1, 64, 64) / 10
    square[..., 8 * row : 8 * row + 8, 8 * column : 8 * column + 8] += 0.5
    (heat,) = heat_maps(network, square)
    assert peak(heat) == ((column + 0.5) / 8, (row + 0.5) / 8)
    drawn = shown(heat, 64)
    assert np.unravel_index(drawn.argmax(), drawn.shape)[0] // 8 == row
    assert 0 <= drawn.min() < 0.8 < drawn.max() <= 1


def test_what_speaks_against_a_finding_is_not_drawn():
    assert not shown(np.full((2, 2), -1, np.float32), 16).any()
    assert (shown(np.array([[-1, -1], [-1, 3]], np.float32), 16)[:4, :4] == 0).all()


def test_gradients_of_a_frozen_network_are_found_and_none_is_left():
    network = Network(Compact(), 1).requires_grad_(False)
    square = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        assert np.isfinite(heat_maps(network, square)).all()
    assert not square.requires_grad
    assert not any(layer._forward_hooks for layer in network.modules())


def test_a_network_without_places_has_no_map():
    class Flat(nn.Module):
        def forward(self, images):
            return images.flatten(1)[:, :5]

    network = Network(OnPhotographs(Flat(), 5, (0.5, 0.2)), 1)
    assert not has_map(network, 32)
    assert has_map(Network(Compact(), 1), 64)
    with pytest.raises(UserError, match="this network has no heat map: no layer's features have a place; use compact or lite0"):
        heat_maps(network, torch.rand(1, 1, 32, 32))


class Attention(nn.Module):
    """As timm's: its norms see (N, heads, tokens, numbers of a head)."""

    def __init__(self, heads, width):
        super().__init__()
        self.heads, self.qkv = heads, nn.Linear(width, 3 * width)
        self.q_norm, self.k_norm = nn.LayerNorm(width // heads), nn.LayerNorm(width // heads)

    def forward(self, tokens):
        images, count, width = tokens.shape
        q, k, v = self.qkv(tokens).reshape(images, count, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = torch.softmax(self.q_norm(q) @ self.k_norm(k).transpose(2, 3), -1) @ v
        return mixed.transpose(1, 2).reshape(images, count, width)


class Of(nn.Module):
    """A network of patches: those of 8x8 pixels, what `mixes` them, and their mean."""

    def __init__(self, mixes):
        super().__init__()
        self.patches, self.mixes = nn.Conv2d(3, 64, 8, 8), mixes

    def forward(self, images):
        return self.mixes(self.patches(images).flatten(2).transpose(1, 2)).mean(1)


class Scaled(nn.Module):
    """Attention that is not called so."""

    def __init__(self, heads):
        super().__init__()
        self.heads, self.norm = heads, nn.LayerNorm(64 // heads)

    def forward(self, tokens):
        heads = self.norm(tokens.unflatten(2, (self.heads, -1)).transpose(1, 2))
        return (torch.softmax(heads @ heads.transpose(2, 3), -1) @ heads).transpose(1, 2).flatten(2)


class ChannelsLast(nn.Module):
    """As Swin: rows, columns, channels."""

    def __init__(self):
        super().__init__()
        self.patches, self.norm = nn.Conv2d(3, 64, 8, 8), nn.LayerNorm(64)

    def forward(self, images):
        return self.norm(self.patches(images).permute(0, 2, 3, 1)).mean((1, 2))


class Aside(nn.Module):
    """Its features with a place, which are made last, do not matter."""

    def __init__(self):
        super().__init__()
        self.layer, self.other = nn.Conv2d(3, 64, 8, 8), nn.Conv2d(3, 64, 8, 8)

    def forward(self, images):
        found = self.layer(images).mean((2, 3))
        self.other(images)
        return found


ATTENTION, PLACE = "its attention mixes places", "no layer's features have a place"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (lambda: Of(Attention(16, 64)), ATTENTION),
        (lambda: Of(Attention(1, 64)), ATTENTION),  # 64 tokens to a head of 64 numbers: as square as a map
        (lambda: Of(nn.TransformerEncoderLayer(64, 4, 64, batch_first=True)), ATTENTION),
        (lambda: Of(Scaled(4)), PLACE),
        (lambda: Of(nn.LayerNorm(64)), PLACE),  # an embedding of patches is no map of what comes of them
        (ChannelsLast, PLACE),
        (Aside, "its last features with a place decide nothing"),
    ],
)
def test_what_is_no_map_of_places_is_none(body, reason):
    torch.manual_seed(0)
    network = Network(OnPhotographs(body(), 64, (0.5, 0.2)), 2).eval()
    assert network(torch.rand(1, 1, 64, 64)).shape == (1, 2)
    assert not has_map(network, 64)
    with pytest.raises(UserError, match=f"^this network has no heat map: {reason}; use compact or lite0$"):
        heat_maps(network, torch.rand(1, 1, 64, 64))


def test_layers_that_weigh_pooled_features_and_normalise_channels_last_do_not_hide_a_map():
    class Convolutional(nn.Module):
        """A block as ConvNeXt's, squeeze and excitation, and layers behind the mean, as MobileNetV3 has them."""

        def __init__(self):
            super().__init__()
            self.stem, self.norm, self.wide, self.narrow = (
                nn.Conv2d(3, 32, 8, 8),
                nn.LayerNorm(32),
                nn.Linear(32, 48),
                nn.Linear(48, 32),
            )
            self.squeeze, self.pool = nn.Conv2d(32, 32, 1), nn.AdaptiveAvgPool2d(1)
            self.block, self.last = nn.Identity(), nn.Conv2d(32, 64, 1)

        def forward(self, images):
            maps = self.stem(images)
            maps = maps + self.narrow(self.wide(self.norm(maps.permute(0, 2, 3, 1)))).permute(0, 3, 1, 2)
            maps = self.block(maps * self.squeeze(self.pool(maps)).sigmoid())
            return self.last(self.pool(maps)).flatten(1)

    network = Network(OnPhotographs(Convolutional(), 64, (0.5, 0.2)), 2).eval()
    assert heat_maps(network, torch.rand(1, 1, 64, 64)).shape == (2, 8, 8)


def test_random_weights_are_the_same_each_time_and_leave_other_random_numbers_alone():
    trained = Network(Compact(), 2)
    known = Detector(trained, ("A", "B"), {}, {}, None, 64, {"network": "compact"}, "")
    torch.manual_seed(3)
    first, number = randomised(known), torch.rand(1)
    torch.manual_seed(3)
    assert torch.rand(1) == number
    second = randomised(known)
    square = torch.rand(1, 1, 64, 64)
    assert torch.equal(first(square), second(square))
    assert not torch.allclose(first(square), trained.eval()(square))
    assert first(square).shape == (1, 2)


def test_boxes_count_once_where_they_overlap():
    assert covered([(0.0, 0.0, 0.5, 0.5), (0.25, 0.0, 0.5, 0.5)]) == pytest.approx(0.375, abs=0.01)
    assert covered([(0.0, 0.0, 1.0, 1.0)]) == 1
    assert inside([(0.5, 0.0, 0.5, 0.5)], [0.5, 0.5, 0.2], [0.49, 0.5, 0.1]).tolist() == [True, False, False]


def looked(row, cell, box, other=(0, 0), logit=0.0):
    """Return a map of 4x4 cells that is greatest in `cell`, beside a random one that is so in the cell `other`."""
    source = np.random.default_rng(row)
    maps = [source.random((4, 4)).astype(np.float32) for _ in range(2)]
    for heat, place in zip(maps, (cell, other), strict=True):
        heat[place] = 2
    return Looked(row, logit, [box], *maps)


def test_hits_are_counted_beside_chance_and_random_weights():
    corner = (0.0, 0.0, 0.25, 0.25)  # of one cell of sixteen
    given = [looked(number, (0, 0) if number < 9 else (3, 2), corner, (number % 4, 0)) for number in range(12)]
    found = pointing(given)
    assert (found["images"], found["hit"]["value"], found["randomised"]["value"]) == (12, 0.75, 0.25)
    assert found["hit"]["low"] < 0.75 < found["hit"]["high"]
    assert found["chance"] == pytest.approx(1 / 16, abs=6e-4)
    ranks = [[np.argsort(np.argsort(heat.ravel())) for heat in (each.trained, each.random)] for each in given]
    expected = np.mean([np.corrcoef(*both)[0, 1] for both in ranks])
    assert found["correlation"] == pytest.approx(expected, abs=6e-4)
    assert hits([each.trained for each in given], given).sum() == 9
    first, second = pointed(found)
    assert first.startswith("heat map, greatest in a box, of 12 patients: 0.750 [0.428, 0.946]; of random weights 0.250 [")
    assert first.endswith("by chance 0.062")
    assert second == f"heat maps of the detector and of random weights: rank correlation {found['correlation']:.2f}"


def test_without_boxes_there_is_no_rate():
    assert pointing([]) == {"images": 0, "reason": "no boxes"}
    assert pointed(pointing([])) == ["heat map: no boxes, so that nobody knows how often it points to the finding"]
    assert pointing(None) == {"images": 0, "reason": "this network has none"}


def test_maps_that_are_the_same_everywhere_have_no_correlation():
    flat = looked(0, (0, 0), (0.0, 0.0, 0.5, 0.5))._replace(random=np.zeros((4, 4), np.float32))
    assert pointing([flat])["correlation"] is None


def test_the_least_the_middle_and_the_greatest_logit_are_drawn_each_once():
    given = [looked(row, (0, 0), (0.0, 0.0, 0.5, 0.5), logit=logit) for row, logit in enumerate((3.0, -1.0, 0.5, 9.0, 0.0))]
    assert [(which, each.row) for which, each in chosen(given)] == [("least", 1), ("middle", 2), ("greatest", 3)]
    assert [each.row for _, each in chosen(given[:1])] == [0]
    assert sorted(each.row for _, each in chosen(given[:2])) == [0, 1]
