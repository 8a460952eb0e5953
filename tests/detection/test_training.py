"""Training a detector."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import confusion_matrix

from cxr.compute.checkpoint import Checkpoint
from cxr.dataset.packed import Frames
from cxr.detection import training
from cxr.detection.detector import Network
from cxr.detection.labels import Labels
from cxr.detection.networks.backbones import backbone
from cxr.detection.settings import Learning
from cxr.detection.training import Images, fit, masked_loss, moved, operating, threshold
from cxr.foundation.errors import UserError
from cxr.measures.areas import placed

SETTINGS = Learning("compact", 0, 40, 8, 0.005, 0)
SHORT = replace(SETTINGS, epochs=2)
CPU = torch.device("cpu")
SIZE = 48
TRAIN, VAL, TEST = np.arange(40), np.arange(40, 60), np.arange(60, 90)


def radiographs(count=90):
    """Return noise with a soft bright spot in every other image, and a dark one in every third; and which has which."""
    source = np.random.default_rng(0)
    images = source.normal(100, 12, (count, SIZE, SIZE))
    shown = np.stack([np.arange(count) % 2 == 1, np.arange(count) % 3 == 1], axis=1)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    for finding, height in enumerate((90, -90)):
        for number in np.flatnonzero(shown[:, finding]):
            y, x = source.integers(10, SIZE - 10, 2)
            images[number] += height * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 30)
    return Frames.of(images.clip(0, 255).astype(np.uint8)), shown


def given(shown, known=None) -> Labels:
    return Labels(("BRIGHT", "DARK"), np.ones_like(shown) if known is None else known, shown)


def fitted(frames, labels, folder, settings=SETTINGS, seconds=1e9, name="a"):
    learnt, val = (Images.of(frames, rows, labels, SIZE) for rows in (TRAIN, VAL))
    return fit(learnt, val, settings, CPU, Checkpoint(folder, name, {}), seconds)


def areas(found, frames, shown):
    network = Network(backbone("compact", SIZE), 2).eval()
    network.load_state_dict(found.weights)
    logits = training._of_all(network, Images.of(frames, TEST, given(shown), SIZE), SETTINGS, CPU).numpy()
    return [float(placed(logits[:, number], shown[TEST, number]).area) for number in range(2)]


def equal(first, second) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture
def lite0(monkeypatch):
    """Let lite0 be there without what it learnt."""
    monkeypatch.setattr(training, "backbone", lambda name, size: backbone(name, size, learnt=False))


def test_it_learns_several_findings_at_a_time(tmp_path):
    frames, shown = radiographs()
    assert min(areas(fitted(frames, given(shown), tmp_path), frames, shown)) > 0.9


def test_labels_that_say_nothing_are_not_learnt(tmp_path):
    frames, _ = radiographs()
    shown = np.random.default_rng(1).random((90, 2)) < 0.5
    assert all(abs(area - 0.5) < 0.3 for area in areas(fitted(frames, given(shown), tmp_path), frames, shown))


def test_what_is_unknown_is_masked(tmp_path):
    frames, shown = radiographs()
    known = np.random.default_rng(2).random(shown.shape) < 0.6
    first = fitted(frames, given(shown & known, known), tmp_path, SHORT, name="a")
    second = fitted(frames, given(shown | ~known, known), tmp_path, SHORT, name="b")
    assert equal(first.weights, second.weights)
    scores, answers, there = torch.randn(7, 2), torch.from_numpy(shown[:7].astype(np.float32)), torch.from_numpy(known[:7])
    expected = F.binary_cross_entropy_with_logits(scores[there], answers[there])
    torch.testing.assert_close(masked_loss(scores, there.float(), answers), expected)
    assert masked_loss(scores, torch.zeros(7, 2), answers) == 0


def test_training_repeats_and_leaves_the_global_generator_alone(tmp_path):
    frames, shown = radiographs()
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    first = fitted(frames, given(shown), tmp_path, SHORT, name="a")
    assert torch.equal(torch.rand(1), expected)
    again = fitted(frames, given(shown), tmp_path, SHORT, name="b")
    other = fitted(frames, given(shown), tmp_path, replace(SHORT, seed=1), name="c")
    assert equal(first.weights, again.weights)
    assert first.curves == again.curves
    assert not torch.equal(first.weights["head.weight"], other.weights["head.weight"])


@pytest.mark.parametrize("network", ["compact", "lite0"])
def test_an_interrupted_run_ends_with_the_bytes_of_an_undisturbed_one(tmp_path, monkeypatch, lite0, network):
    frames, shown = radiographs()
    settings = replace(SETTINGS, epochs=3, network=network, frozen_epochs=1)
    expected = fitted(frames, given(shown), tmp_path, settings, name="whole")
    with monkeypatch.context() as patch:
        judge = training._Run.judge

        def killed(run, *more):
            if run.epoch == 3:
                raise KeyboardInterrupt
            return judge(run, *more)

        patch.setattr(training._Run, "judge", killed)
        with pytest.raises(KeyboardInterrupt):
            fitted(frames, given(shown), tmp_path, settings, seconds=0, name="cut")
    found = fitted(frames, given(shown), tmp_path, settings, name="cut")
    assert found.curves == expected.curves
    assert found.best_epoch == expected.best_epoch
    assert equal(found.weights, expected.weights)


def test_a_frozen_backbone_stays_as_it_is(tmp_path, monkeypatch, lite0):
    frames, shown = radiographs()
    bodies = []
    learn = training._Run.learn

    def noted(run, *more):
        before = {name: tensor.clone() for name, tensor in run.network.body.state_dict().items()}
        learn(run, *more)
        bodies.append(equal(before, run.network.body.state_dict()))

    monkeypatch.setattr(training._Run, "learn", noted)
    fitted(frames, given(shown), tmp_path, replace(SHORT, network="lite0", frozen_epochs=1))
    assert bodies == [True, False]


@pytest.mark.parametrize("sensitivity", [0.5, 0.8, 0.9, 1.0])
def test_a_threshold_finds_as_many_as_asked_for_and_no_higher_one_does(sensitivity):
    scores, shown = np.random.default_rng(0).normal(size=37), np.arange(37) < 14
    found = threshold(scores, shown, sensitivity)
    assert (scores[shown] >= found).mean() >= sensitivity
    higher = min((score for score in scores[shown] if score > found), default=np.inf)
    assert (scores[shown] >= higher).mean() < sensitivity


def test_an_operating_point_is_scikit_learns():
    scores, shown = np.random.default_rng(0).normal(size=50), np.arange(50) % 3 == 0
    (true_no, false_yes), (false_no, true_yes) = confusion_matrix(shown, scores >= 0.2)
    found = operating(scores, shown, 0.2)
    assert found["sensitivity"] == pytest.approx(true_yes / (true_yes + false_no), abs=5e-4)
    assert found["specificity"] == pytest.approx(true_no / (true_no + false_yes), abs=5e-4)
    assert (found["images"], found["positives"]) == (50, 17)


def test_images_are_moved_and_mirrored_and_nothing_else():
    images = torch.rand(6, 1, 40, 40)
    seen = set()
    for image, found in zip(images, moved(images, torch.Generator().manual_seed(0)), strict=True):
        around = np.pad(image[0].numpy(), 2, mode="reflect")
        places = [
            (y, x, mirrored)
            for y in range(5)
            for x in range(5)
            for mirrored in (False, True)
            if np.array_equal(np.flip(found[0].numpy(), 1) if mirrored else found[0].numpy(), around[y : y + 40, x : x + 40])
        ]
        assert len(places) == 1
        seen.add(places[0])
    assert len(seen) > 3
    assert {mirrored for *_, mirrored in seen} == {False, True}


def test_a_run_that_diverges_is_one_line(tmp_path):
    frames, shown = radiographs()
    with pytest.raises(UserError, match=r"training diverges: the validation loss of epoch 1 is (nan|inf); lower learning_rate"):
        fitted(frames, given(shown), tmp_path, replace(SHORT, learning_rate=1e30))


def test_a_detector_that_could_not_be_read_is_not_trained(tmp_path, monkeypatch):
    frames, shown = radiographs()
    monkeypatch.setattr("cxr.compute.modelfile.MOST_BYTES", 1_500_000)
    with pytest.raises(UserError, match="a detector on this network has 1 MB, more than the 1 that are read; name another"):
        fitted(frames, given(shown), tmp_path, SHORT)


def test_frozen_epochs_leave_some_to_learn():
    with pytest.raises(ValueError, match="frozen_epochs is 5, and must be less than epochs, 5"):
        Learning("lite0", 5, 5, 8, 0.001, 0)
    assert Learning("compact", 5, 5, 8, 0.001, 0).epochs == 5
