import numpy as np
import pytest
import torch
from PIL import Image

from cxr.dataset.packed import Frames
from cxr.foundation.errors import UserError
from cxr.foundation.randomness import generator
from cxr.superres.degradation.passage import MARGIN, observed
from cxr.superres.settings import Degradation, Ranges
from cxr.superres.training import crops as crops_module
from cxr.superres.training.crops import GRID, Crops, Stored, cut_windows, needed_margin, pairs, squares
from cxr.superres.training.settings import Augment
from tests.support.observed import observe

PLAIN = Augment(flip=False, zoom=1.0, rotation=0.0, warped=0.0)
PATCH = 24
SIDE = PATCH + 2 * MARGIN
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    # Every pixel tells its image (0 or 10 thousands), row and column apart, modulo what 8 bits can hold.
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (5, 144, 144), dtype=np.uint8)


def crops_of(images: np.ndarray, augment: Augment, rows=(0, 1, 2, 3, 4), batch=6, seed=0, margin=MARGIN) -> Crops:
    return Crops(Frames.of(images), np.array(rows), augment, PATCH, batch, seed, CPU, margin=margin)


def truths(crops: Crops, step: int) -> np.ndarray:
    """Return the ground truths of a step in grey levels."""
    drawn = crops.draw(step)
    return levels(squares(drawn.crops, drawn.corners, PATCH))


def blocks(images: np.ndarray, rows) -> dict[bytes, tuple[int, int, int]]:
    """Return every block of `rows` that starts on the grid, by its bytes."""
    places = range(0, images.shape[1] - PATCH + 1, GRID)
    return {
        images[row, top : top + PATCH, left : left + PATCH].tobytes(): (row, top, left)
        for row in rows
        for top in places
        for left in places
    }


def levels(crops: torch.Tensor) -> np.ndarray:
    return (crops[:, 0] * 255).round().to(torch.uint8).numpy()


def test_unaugmented_crops_are_quarter_turns_of_blocks_on_the_grid_up_to_the_edges(images):
    known = blocks(images, range(5))
    found, turns, places = set(), set(), []
    crops = crops_of(images, PLAIN)
    for step in range(200):
        for crop in truths(crops, step):
            hits = [(known[turned.tobytes()], k) for k in range(4) if (turned := np.rot90(crop, -k)).tobytes() in known]
            assert len(hits) == 1
            found.add(hits[0][0])
            turns.add(hits[0][1])
            places += hits[0][0][1:]
    assert turns == {0, 1, 2, 3}
    assert len(found) > 0.8 * len(known)  # 1,200 draws of 5 x 11 x 11 places
    counts = np.bincount(places)[::GRID]
    assert len(counts) == 11
    assert counts.min() > 0.7 * counts.sum() / 12  # the one in the middle is counted from both edges
    assert np.delete(counts, 5).max() < 1.3 * counts.sum() / 12


@pytest.mark.parametrize("margin", [MARGIN, 12])
def test_of_images_of_any_size_every_pixel_is_learnt(margin):
    image = np.random.default_rng(0).integers(0, 256, (1, 109, 109), dtype=np.uint8)
    places = range(109 - PATCH + 1)
    known = {image[0, top : top + PATCH, left : left + PATCH].tobytes(): (top, left) for top in places for left in places}
    learnt = np.zeros((109, 109), bool)
    crops = crops_of(image, PLAIN, rows=(0,), margin=margin)
    for step in range(80):
        for crop in truths(crops, step):
            ((top, left),) = (known[turned.tobytes()] for k in range(4) if (turned := np.rot90(crop, k)).tobytes() in known)
            learnt[top : top + PATCH, left : left + PATCH] = True
    assert learnt.all()


def test_flip_mirrors_about_half_of_the_crops(images):
    known = blocks(images, range(5))
    flip = crops_of(images, Augment(flip=True, zoom=1.0, rotation=0.0, warped=0.0))
    crops = [crop for step in range(50) for crop in truths(flip, step)]
    straight = sum(any(np.rot90(crop, k).tobytes() in known for k in range(4)) for crop in crops)
    mirrored = sum(any(np.rot90(crop[:, ::-1], k).tobytes() in known for k in range(4)) for crop in crops)
    assert straight + mirrored == len(crops)
    assert 0.35 < mirrored / len(crops) < 0.65


def test_only_the_rows_given_are_read(images):
    poisoned = images.copy()
    poisoned[[0, 2, 4]] = 255
    for warped in (0.0, 1.0):
        augment = Augment(flip=True, zoom=0.6, rotation=5.0, warped=warped)
        for step in range(10):
            expected = truths(crops_of(images, augment, rows=(1, 3)), step)
            assert np.array_equal(truths(crops_of(poisoned, augment, rows=(1, 3)), step), expected)


def test_a_batch_is_a_function_of_seed_and_step(images):
    augment = Augment(flip=True, zoom=0.6, rotation=5.0, warped=0.5)
    crops = crops_of(images, augment)
    first = truths(crops, 7)
    truths(crops, 8)
    assert np.array_equal(truths(crops, 7), first)
    assert not np.array_equal(truths(crops, 8), first)
    assert not np.array_equal(truths(crops_of(images, augment, seed=1), 7), first)


@pytest.mark.parametrize("margin", [MARGIN, 12])
def test_warped_crops_have_no_filled_corners_and_keep_their_size(margin):
    white = np.full((1, 200, 200), 255, np.uint8)
    crops = crops_of(white, Augment(flip=True, zoom=0.6, rotation=20.0, warped=1.0), rows=(0,), margin=margin)
    for step in range(40):
        crop, corners, _ = crops.draw(step)
        assert crop.shape == (6, 1, PATCH + 2 * margin, PATCH + 2 * margin)
        assert torch.equal(corners, torch.full((2, 6), margin))
        torch.testing.assert_close(crop, torch.ones_like(crop), rtol=0, atol=1e-5)


def test_zoom_shrinks_as_pillows_antialiased_bicubic_does(images, monkeypatch):
    image = np.random.default_rng(1).integers(0, 256, (2 * SIDE, 2 * SIDE), dtype=np.uint8)
    crops = crops_of(image[None], Augment(False, 0.5, 0.0, 1.0), rows=(0,), batch=1)
    # zoom by exactly one half: only one crop is possible
    monkeypatch.setattr(crops_module, "_uniform", lambda _, low, high: low)
    small = Image.fromarray(image.astype(np.float32)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    expected = np.clip(np.asarray(small) / 255, 0, 1)
    drawn = crops.draw(0)[0][0, 0].numpy()
    assert min(np.abs(np.rot90(drawn, k) - expected).max() for k in range(4)) < 1e-5


@pytest.mark.parametrize("margin", [MARGIN, 12])
def test_turned_crops_are_turned(margin):
    # A ramp's gradient turns with the crop: its angle to the axes is the angle drawn, up to quarter turns.
    ramp = np.tile(np.linspace(0, 255, 256).astype(np.uint8), (256, 1))[None]
    crops = crops_of(ramp, Augment(False, 0.6, 10.0, 1.0), rows=(0,), batch=1, margin=margin)
    angles = []
    for step in range(60):
        image = crops.draw(step)[0][0, 0].numpy()
        down, right = (gradient[5:-5, 5:-5].mean() for gradient in np.gradient(image))
        angles.append((np.degrees(np.arctan2(down, right)) + 45) % 90 - 45)
    assert np.abs(angles).max() <= 10.3
    assert np.abs(angles).max() > 7
    assert min(angles) < 0 < max(angles)
    assert np.mean(np.abs(angles) < 0.3) > 0.2  # shrunk too little to be turned


def test_warped_and_plain_steps_come_in_the_share_asked_for(images):
    known = blocks(images, range(5))
    crops = crops_of(images, Augment(False, 0.6, 5.0, 0.25), batch=1)
    plain = sum(any(np.rot90(crop, k).tobytes() in known for k in range(4)) for s in range(200) for crop in truths(crops, s))
    assert 0.65 < plain / 200 < 0.85


def test_an_image_with_no_room_to_warp_gives_plain_crops():
    image = np.random.default_rng(0).integers(0, 256, (1, SIDE, SIDE), dtype=np.uint8)
    crops = crops_of(image, Augment(False, 0.6, 5.0, 1.0), rows=(0,), batch=1)
    for step in range(5):
        crop = levels(crops.draw(step)[0])[0]
        assert any(np.array_equal(np.rot90(crop, k), image[0]) for k in range(4))


def test_crops_are_augmented_first_and_degraded_after(images):
    crops, corners, _ = crops_of(images, Augment(True, 0.6, 5.0, 1.0)).draw(0)
    kinds = [Degradation(scale) for scale in (2, 3, 4)]
    inputs, truth = pairs(crops, corners, patch=PATCH, degradations=kinds, source=generator(0))
    inner = slice(MARGIN, -MARGIN)
    for i, scale in enumerate([2, 3, 4, 2, 3, 4]):
        expected = observe(crops[i : i + 1], scale)[0, :, inner, inner]
        torch.testing.assert_close(inputs[i], expected, rtol=0, atol=2e-6)
        assert torch.equal(truth[i], crops[i, :, inner, inner])


@pytest.mark.parametrize(("scale", "patch"), [(2, 24), (2, 41), (3, 41), (4, 41), (4, 7)])
def test_any_patch_with_the_least_margin_is_still_the_window_of_the_degraded_image(images, scale, patch):
    degradations = [Degradation(scale)]
    whole = observe(torch.from_numpy(images[:2])[:, None].float() / 255, scale)[:, 0]
    places = range(images.shape[1] - patch + 1)
    known = {
        images[row, top : top + patch, left : left + patch].tobytes(): whole[row, top : top + patch, left : left + patch]
        for row in range(2)
        for top in places
        for left in places
    }
    flip = Augment(flip=True, zoom=1.0, rotation=0.0, warped=0.0)
    crops = Crops(Frames.of(images), np.arange(2), flip, patch, 6, 0, CPU, margin=needed_margin(degradations))
    for step in range(8):
        for both in torch.cat(crops.observed(step, degradations), dim=1):
            turns = [each.rot90(k, (1, 2)) for each in (both, both.flip(2)) for k in range(4)]
            seen = {levels(turn[None, 1:]).tobytes(): turn[0] for turn in turns}
            (place,) = seen.keys() & known.keys()
            torch.testing.assert_close(seen[place], known[place], rtol=0, atol=2e-6)


@pytest.mark.parametrize("warped", [0.0, 1.0])
@pytest.mark.parametrize(("scale", "patch"), [(2, 24), (2, 41), (3, 30), (4, 41)])
def test_pixels_that_no_degradation_sees_make_no_difference(images, scale, patch, warped, monkeypatch):
    degradations = [Degradation(scale)]
    augment = Augment(flip=True, zoom=0.5, rotation=0.0, warped=warped)
    # zoom by exactly one half: no side has to be rounded
    monkeypatch.setattr(crops_module, "_uniform", lambda _, low, high: low)
    large = Frames.of(images.repeat(2, axis=1).repeat(2, axis=2))
    less, more = (
        Crops(large, np.arange(2), augment, patch, 6, 0, CPU, margin=m) for m in (needed_margin(degradations), MARGIN)
    )
    for step in range(8):
        for ours, expected in zip(less.observed(step, degradations), more.observed(step, degradations), strict=True):
            torch.testing.assert_close(ours, expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("batch", [4, 1])
def test_over_the_steps_every_degradation_gets_its_share_of_the_crops(images, batch):
    crops = crops_of(images, PLAIN, batch=batch)
    kinds = [Degradation(2), Degradation(3), Degradation(4)]
    dealt = []
    for step in range(3):
        drawn, corners, _ = crops.draw(step)
        inputs, _ = crops.observed(step, kinds)
        whole = {kind.scale: squares(observe(drawn, kind.scale), corners, PATCH) for kind in kinds}
        for i, seen in enumerate(inputs):
            distances = {scale: (each[i] - seen).abs().max().item() for scale, each in whole.items()}
            dealt.append(min(distances, key=lambda scale: distances[scale]))
            assert distances[dealt[-1]] < 2e-6
    assert dealt == [2, 3, 4] * batch


def test_crops_get_the_noise_of_their_degradation_and_the_truth_none(images):
    crops = crops_of(images, PLAIN, batch=60)
    truth, corners, _ = crops.draw(0)
    inputs, without = crops.observed(0, [Degradation(2), Degradation(2, 5.0)])
    assert torch.equal(without, squares(truth, corners, PATCH))
    clean = squares(observe(truth, 2), corners, PATCH)
    torch.testing.assert_close(inputs[0::2], clean[0::2], rtol=0, atol=2e-6)
    noise = inputs[1::2] - clean[1::2]
    assert noise.std().item() * 255 > 2  # what enlarging leaves of 5 levels of white noise
    again, _ = crops.observed(0, [Degradation(2), Degradation(2, 5.0)])
    assert torch.equal(again, inputs)
    kinds = [Degradation(2), Degradation(2, 5.0)]
    later, _ = pairs(truth, corners, patch=PATCH, degradations=kinds, source=generator(0, 1, "grain"))
    assert not torch.equal(later[1::2], inputs[1::2])


def test_blind_crops_are_each_degraded_by_what_is_drawn_for_it(images):
    ranges = Ranges(0.2, 1.2, 6.0, (1000.0, 20000.0), 0.7, (60, 95))
    rows = np.arange(5)
    crops = Crops(Frames.of(images), rows, PLAIN, PATCH, 6, 0, CPU, post_upsampling=True, ranges=ranges)
    scales = [Degradation(2), Degradation(3)]
    for step in (6, 7):
        low, bicubic, truth = crops.observed(step, scales)
        assert torch.equal(crops.observed(step, scales)[0], low)
        passage, grain = generator(0, step, "passage"), generator(0, step, "grain")
        drawn = crops.draw(step)
        seen = set()
        for i in range(6):
            each = ranges.drawn(scales[step % 2].scale, lambda: torch.rand((), generator=passage).item())  # noqa: B023
            one = drawn.crops[i : i + 1], drawn.corners[:, i : i + 1]
            expected = pairs(*one, patch=PATCH, degradations=[each], source=grain, post_upsampling=True)
            assert all(torch.equal(a, b[i : i + 1]) for a, b in zip(expected, (low, bicubic, truth), strict=True))
            seen.add(each)
        assert len(seen) > 3


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_blurred_crop_is_the_window_of_the_blurred_image(images, scale):
    degradation = Degradation(scale, blur=1.2)
    crops = crops_of(images, PLAIN, margin=needed_margin([degradation]))
    low, _, _ = Crops.observed(_post_upsampling(crops), 3, [degradation])
    drawn = crops.draw(3)
    truth = levels(squares(drawn.crops, drawn.corners, PATCH))
    for crop, found in zip(truth, low[:, 0], strict=True):
        whole = next(turned for turned in _all_turns(images) if crop.tobytes() in _blocks_of(turned))
        row, column = _blocks_of(whole)[crop.tobytes()]
        of_whole = observed(torch.from_numpy(whole.copy())[None, None].float() / 255, degradation)[0, 0]
        side = PATCH // scale
        expected = of_whole[row // scale :, column // scale :][:side, :side]
        torch.testing.assert_close(found, expected, atol=1.01 / 255, rtol=0)  # halves of a level may round to either side
        assert (found - expected).abs().mean() < 0.02 / 255


def _post_upsampling(crops: Crops) -> Crops:
    crops.post_upsampling = True
    return crops


def _all_turns(images):
    for image in images:
        for quarter in range(4):
            yield np.rot90(image, quarter)


def _blocks_of(image: np.ndarray) -> dict[bytes, tuple[int, int]]:
    places = range(0, image.shape[0] - PATCH + 1, GRID)
    return {image[top : top + PATCH, left : left + PATCH].tobytes(): (top, left) for top in places for left in places}


def test_cut_returns_the_windows_asked_for(images):
    rows, top, left = np.array([4, 0]), np.array([3, 100]), np.array([50, 0])
    cuts = cut_windows(Frames.of(images), rows, top, left, 20)
    assert np.array_equal(cuts[0], images[4, 3:23, 50:70])
    assert np.array_equal(cuts[1], images[0, 100:120, 0:20])


@pytest.mark.parametrize("bits", [8, 16])
def test_cutting_all_at_once_gives_the_same_crops(images, bits):
    quarters, mirrored = np.arange(8) % 4, np.arange(8) // 4
    rows, top, left = np.arange(8) % 5, np.arange(8) * 3, 100 - np.arange(8) * 7
    kind = {8: np.uint8, 16: np.uint16}[bits]
    wide = [image.astype(kind)[:, : 140 - i] * (257 if bits == 16 else 1) for i, image in enumerate(images)]
    frames = Frames.of(wide, bits)
    expected = [np.rot90(crop, turns) for crop, turns in zip(cut_windows(frames, rows, top, left, 20), quarters, strict=True)]
    expected = [np.fliplr(crop) if mirror else crop for crop, mirror in zip(expected, mirrored, strict=True)]
    places = torch.from_numpy(np.stack([rows, top, left, quarters, mirrored]))
    assert np.array_equal(Stored.filled(frames, CPU).cut(places, 20), np.stack(expected))


def test_equal_frames_give_the_bytes_of_a_stack(images):
    """The flat path against a plain second one on an array (N, S, S), whose places are drawn for all images alike."""
    crops = crops_of(images, Augment(flip=True, zoom=1.0, rotation=0.0, warped=0.0))
    side = crops.side
    for step in range(20):
        source = generator(0, step)
        torch.rand((), generator=source)  # whether to warp
        pick = torch.randint(5, (6,), generator=source)
        room = (144 - PATCH) // (2 * GRID) + 1
        places = (torch.rand((2, 6), dtype=torch.float64, generator=source) * room).floor().long() * GRID
        first = (places - MARGIN).clamp(0, (144 - side) // GRID * GRID)
        behind = torch.randint(2, (2, 6), generator=source) == 1
        first = torch.where(behind, 144 - side - first, first)
        quarters, mirrored = torch.randint(4, (2, 6), generator=source)
        windows = np.lib.stride_tricks.sliding_window_view(images, (side, side), axis=(1, 2))[pick, *first]
        turned = [np.rot90(window, quarter) for window, quarter in zip(windows, quarters, strict=True)]
        expected = [turn[:, ::-1] if mirror % 2 else turn for turn, mirror in zip(turned, mirrored, strict=True)]
        assert np.array_equal(levels(crops.draw(step).crops), np.stack(expected))


def test_crops_of_frames_of_all_shapes_reach_every_edge():
    """Each image's crops come from all over it, though images differ in shape."""
    shapes = [(109, 160), (130, 109), (109, 109)]
    frames = [np.full(shape, 50 * number, np.uint8) for number, shape in enumerate(shapes)]
    for frame in frames:  # an edge is brighter by as much as tells which
        for amount, edge in enumerate([np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]], start=1):
            frame[edge] += amount
    crops = Crops(Frames.of(frames), np.arange(3), PLAIN, PATCH, 6, 0, CPU, margin=12)
    seen = np.unique(np.concatenate([truths(crops, step).ravel() for step in range(80)]))
    assert {50 * number + amount for number in range(3) for amount in range(1, 5)} <= set(seen.tolist())


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_deep_images_are_degraded_on_their_own_levels(images, bits):
    deep = Frames.of((images.astype(np.uint16) << (bits - 8)) + 3, bits)
    crops = Crops(deep, np.arange(5), PLAIN, PATCH, 6, 0, CPU)
    drawn = crops.draw(0)
    assert drawn.white == 2**bits - 1
    inputs, truth = crops.observed(0, [Degradation(2)])
    assert inputs.dtype == truth.dtype == torch.float32
    exact = (drawn.crops.double() * drawn.white).round() / drawn.white
    wanted = squares(observe(exact, 2, white=drawn.white), drawn.corners, PATCH)
    torch.testing.assert_close(inputs, wanted, rtol=0, atol=1.5 / drawn.white)
    torch.testing.assert_close(truth, squares(exact, drawn.corners, PATCH).float(), rtol=0, atol=1e-6)


def test_a_batch_of_several_depths_is_each_on_its_own_range(images):
    mixed = [images[0].astype(np.uint16), images[1].astype(np.uint16) * 16, images[2].astype(np.uint16) * 256]
    frames = Frames.of(mixed)
    frames = Frames(frames.pixels, frames.begins, frames.shapes, np.array([8, 12, 16]))
    crops = Crops(frames, np.arange(3), PLAIN, PATCH, 9, 0, CPU)
    plain = Crops(Frames.of(images[:3]), np.arange(3), PLAIN, PATCH, 9, 0, CPU)
    for step in range(3):
        whites = crops.draw(step).white.flatten()
        assert set(whites.tolist()) <= {255, 4095, 65535}
        (inputs, truth), (same, alike) = (each.observed(step, [Degradation(2)]) for each in (crops, plain))
        torch.testing.assert_close(truth, alike, rtol=0, atol=1 / 255)
        torch.testing.assert_close(inputs[whites == 255], same[whites == 255], rtol=0, atol=1e-6)
        torch.testing.assert_close(inputs, same, rtol=0, atol=3 / 255)


def test_images_too_small_for_a_crop_are_refused():
    with pytest.raises(
        UserError, match=r"images of 71 pixels are too small for patches of 24.*preprocess\.size to at least 72"
    ):
        crops_of(np.zeros((1, 71, 71), np.uint8), PLAIN, rows=(0,))


def test_no_image_to_train_on_is_refused(images):
    with pytest.raises(UserError, match="no image to train on"):
        crops_of(images, PLAIN, rows=np.array([], int))
