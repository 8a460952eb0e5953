import hashlib
import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from cxr.dataset.pack import choose, digest, pack, prepare
from cxr.dataset.settings import Preprocess
from cxr.formats.decode import Unusable
from cxr.foundation.errors import UserError
from stages import preprocess as stage

SETTINGS = Preprocess(size=16, normalise="none", limit=100, max_damaged=0.5, seed=0)


def wave(side, cycles):
    """Return a horizontal sinusoid around 128 of so many cycles across the image."""
    return np.rint(128 + 100 * np.cos(2 * np.pi * cycles * (np.arange(side) + 0.5) / side))[None].repeat(side, 0)


def test_the_central_square_is_cut_out():
    tall = np.arange(40, dtype=np.uint8)[:, None].repeat(20, 1)
    np.testing.assert_array_equal(prepare(tall, 20, "none"), tall[10:30])
    np.testing.assert_array_equal(prepare(tall.T, 20, "none"), tall.T[:, 10:30])
    np.testing.assert_array_equal(prepare(tall[:39], 20, "none"), tall[9:29])  # an odd row too many goes from the bottom


def test_an_image_of_the_right_size_is_left_as_it_is():
    levels = np.random.default_rng(0).integers(0, 256, (32, 32), np.uint8)
    np.testing.assert_array_equal(prepare(levels, 32, "none"), levels)


def test_waves_beyond_the_new_nyquist_frequency_vanish_and_waves_below_stay():
    # From 256 pixels to 64: the new Nyquist frequency is 32 cycles an image.
    inner = slice(4, -4)
    beyond = prepare(wave(256, 50).astype(np.uint8), 64, "none")[inner, inner]
    assert np.abs(beyond.astype(int) - 128).max() <= 4  # a bilinear kernel leaves 6
    below = prepare(wave(256, 16).astype(np.uint8), 64, "none")[inner, inner]
    assert np.abs(below - wave(64, 16)[inner, inner]).max() <= 6
    assert np.abs(wave(256, 50)[2::4, 2::4] - 128).max() > 90  # what picking pixels would make of it


def test_a_constant_stays_constant_and_a_ramp_linear():
    assert (prepare(np.full((90, 70), 77, np.uint8), 32, "none") == 77).all()
    ramp = np.arange(256, dtype=np.uint8)[None].repeat(256, 0)
    expected = np.arange(64) * 4 + 1.5  # the mean of each four pixels
    assert np.abs(prepare(ramp, 64, "none")[:, 4:-4] - expected[4:-4]).max() <= 0.5001


@pytest.mark.parametrize("side", [100, 150, 187])
def test_reduction_is_antialiased_bicubic_interpolation_of_another_library_on_noise(side):
    noise = np.random.default_rng(0).integers(0, 256, (300, 300), np.uint8)
    reference = F.interpolate(torch.from_numpy(noise)[None, None].float(), (side, side), mode="bicubic", antialias=True)
    assert np.abs(prepare(noise, side, "none") - reference[0, 0].clamp(0, 255).numpy()).max() <= 0.51


def test_none_maps_the_dtypes_full_range():
    levels = np.random.default_rng(0).integers(0, 256, (16, 16), np.uint8)
    np.testing.assert_array_equal(prepare(levels.astype(np.uint16) * 257, 16, "none"), levels)
    deep = np.array([[0, 128], [129, 65535]], np.uint16)  # 257 levels of 16 bits to one of 8, rounded
    np.testing.assert_array_equal(prepare(deep, 2, "none"), [[0, 0], [1, 255]])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_minmax_spreads_the_levels_over_the_whole_range(dtype):
    levels = np.array([[50, 100], [75, 150]], dtype)
    np.testing.assert_array_equal(prepare(levels, 2, "minmax"), [[0, 128], [64, 255]])


def test_percentile_clips_half_a_percent_at_either_end():
    levels = np.random.default_rng(0).permutation(10_000).reshape(100, 100).astype(np.uint16)
    mapped = prepare(levels, 100, "percentile")
    assert mapped[levels < 50].max() == 0
    assert mapped[levels >= 9950].min() == 255
    np.testing.assert_allclose(mapped, np.clip((levels - 49.995) / (9949.005 - 49.995) * 255, 0, 255), atol=0.51)


@pytest.mark.parametrize("normalise", ["minmax", "percentile"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_one_level_divides_by_nothing(normalise, dtype):
    with np.errstate(all="raise"):
        assert (prepare(np.full((30, 30), 77, dtype), 16, normalise) == 0).all()


@pytest.mark.parametrize("shape", [(15, 40), (40, 15)])
def test_too_small_is_never_enlarged(shape):
    with pytest.raises(Unusable, match=f"{shape[1]}x{shape[0]} pixels") as error:
        prepare(np.zeros(shape, np.uint8), 16, "none")
    assert error.value.kind == "too small"


def test_digest_tells_levels_shapes_and_depths_apart_but_not_byte_orders():
    levels = np.arange(12, dtype=np.uint16).reshape(3, 4)
    assert digest(levels) == hashlib.sha256(b"uint16 3x4\n" + levels.astype("<u2").tobytes()).hexdigest()
    assert digest(levels.astype(">u2")) == digest(levels)
    assert len({digest(item) for item in (levels, levels + 1, levels.reshape(4, 3), levels.astype(np.uint8))}) == 4


def radiograph(seed, side=20):
    return np.random.default_rng(seed).integers(0, 256, (side, side + 4), np.uint8)


def fill(raw):
    """Write seven usable files (two patients with two images each) and one of each other kind."""
    for folder in ("NORMAL", "PNEUMONIA"):
        (raw / folder).mkdir(parents=True)
    names = [
        *[f"PNEUMONIA/person{n}_virus_{n}{i}.png" for n in (1, 2) for i in (1, 2)],
        *[f"NORMAL/IM-000{n}-0001.png" for n in (1, 2, 3)],
    ]
    for seed, name in enumerate(names):
        Image.fromarray(radiograph(seed)).save(raw / name)
    Image.fromarray(radiograph(0)).save(raw / "PNEUMONIA/person9_virus_9.tif")  # the pixels of person1_virus_11
    Image.fromarray(radiograph(8, side=10)).save(raw / "NORMAL/small.png")
    (raw / "NORMAL/.DS_Store").touch()
    (raw / "NORMAL/broken.jpeg").write_bytes(b"\xff\xd8\xff")
    Image.new("L", (20, 20), 9).save(raw / "PNEUMONIA/blank.bmp")
    return raw


def test_pack_writes_the_usable_and_tells_what_became_of_the_rest(tmp_path):
    packed = pack(fill(tmp_path / "raw"), tmp_path / "data/images.npy", SETTINGS, 1)
    images = np.load(tmp_path / "data/images.npy", mmap_mode="r")
    assert images.dtype == np.uint8
    assert images.flags.c_contiguous
    assert images.shape == (7, 16, 16)
    assert packed.table["source"].tolist() == sorted(packed.table["source"])
    for row, image in zip(packed.table.to_dict("records"), images, strict=True):
        pixels = np.asarray(Image.open(tmp_path / "raw" / row["source"]))
        np.testing.assert_array_equal(image, prepare(pixels, 16, "none"))
        assert row["sha256"] == digest(pixels)
        assert row["id"] == row["sha256"][:12]
        assert (row["height"], row["width"]) == pixels.shape
        assert row["class"] == row["source"].split("/")[0]
    assert packed.table["patient"].tolist() == ["IM-0001", "IM-0002", "IM-0003", *["person1"] * 2, *["person2"] * 2]
    rejected = packed.rejected.set_index("file")
    assert rejected["kind"].to_dict() == {
        "NORMAL/broken.jpeg": "damaged",
        "NORMAL/small.png": "too small",
        "PNEUMONIA/blank.bmp": "damaged",
        "PNEUMONIA/person9_virus_9.tif": "duplicate",
    }
    assert rejected.loc["PNEUMONIA/person9_virus_9.tif", "reason"] == "the same pixels as PNEUMONIA/person1_virus_11.png"
    assert "blank" in rejected.loc["PNEUMONIA/blank.bmp", "reason"]
    assert packed.counts == {
        "found": {"NORMAL": 5, "PNEUMONIA": 6},
        "used": {"NORMAL": 3, "PNEUMONIA": 4},
        "left_out": {"NORMAL": 0, "PNEUMONIA": 0},
        "damaged": {"NORMAL": 1, "PNEUMONIA": 1},
        "too_small": {"NORMAL": 1, "PNEUMONIA": 0},
        "duplicate": {"NORMAL": 0, "PNEUMONIA": 1},
    }
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["images.npy"]


def test_the_number_of_processes_changes_no_byte(tmp_path):
    raw = fill(tmp_path / "raw")
    one = pack(raw, tmp_path / "one.npy", SETTINGS, 1)
    two = pack(raw, tmp_path / "two.npy", SETTINGS, 2)
    assert (tmp_path / "one.npy").read_bytes() == (tmp_path / "two.npy").read_bytes()
    pd.testing.assert_frame_equal(one.table, two.table)
    pd.testing.assert_frame_equal(one.rejected, two.rejected)
    assert one.counts == two.counts


def test_the_limit_leaves_out_whole_patients(tmp_path):
    settings = Preprocess(size=16, normalise="none", limit=4, max_damaged=0.5, seed=0)
    packed = pack(fill(tmp_path / "raw"), tmp_path / "images.npy", settings, 1)
    assert packed.counts["used"] == {"NORMAL": 2, "PNEUMONIA": 2}
    assert packed.counts["left_out"] == {"NORMAL": 1, "PNEUMONIA": 2}
    assert packed.table[packed.table["class"] == "PNEUMONIA"]["patient"].nunique() == 1
    for row, image in zip(packed.table["source"], np.load(tmp_path / "images.npy"), strict=True):
        np.testing.assert_array_equal(image, prepare(np.asarray(Image.open(tmp_path / "raw" / row)), 16, "none"))


def test_too_many_damaged_files_are_told_with_share_limit_and_first_reason(tmp_path):
    settings = Preprocess(size=16, normalise="none", limit=4, max_damaged=0.1, seed=0)
    with pytest.raises(
        UserError,
        match=r"2 of 11 files \(18\.2%\) are damaged, more than preprocess\.max_damaged 0\.1 allows; "
        r"the first is NORMAL/broken\.jpeg: \S",
    ) as error:
        pack(fill(tmp_path / "raw"), tmp_path / "data/images.npy", settings, 1)
    assert "\n" not in str(error.value)
    assert not list((tmp_path / "data").iterdir())


def test_max_damaged_is_the_greatest_share_allowed(tmp_path):
    for name in "abc":
        (tmp_path / "raw" / name).mkdir(parents=True)
        Image.fromarray(radiograph(ord(name))).save(tmp_path / "raw" / name / "x.png")
    (tmp_path / "raw/a/y.png").touch()
    at = Preprocess(size=16, normalise="none", limit=4, max_damaged=0.25, seed=0)
    assert len(pack(tmp_path / "raw", tmp_path / "images.npy", at, 1).table) == 3
    below = Preprocess(size=16, normalise="none", limit=4, max_damaged=0.249, seed=0)
    with pytest.raises(UserError, match="1 of 4 files"):
        pack(tmp_path / "raw", tmp_path / "images.npy", below, 1)


def test_nothing_usable_is_told_with_kinds_and_first_reason(tmp_path):
    (tmp_path / "raw/A").mkdir(parents=True)
    with pytest.raises(UserError, match="no images in it"):
        pack(tmp_path / "raw", tmp_path / "images.npy", SETTINGS, 1)
    for name in "ab":
        Image.fromarray(radiograph(1, side=10)).save(tmp_path / "raw/A" / f"{name}.png")
    with pytest.raises(UserError, match=r"no usable image among 2 \(2 too small\); the first, A/a\.png: 14x10 pixels"):
        pack(tmp_path / "raw", tmp_path / "images.npy", SETTINGS, 1)


def patients(seed, classes=(("A", 30), ("B", 90)), largest=6):
    """Return a shuffled table of so many patients by class, each with 1 to `largest` images."""
    dice = random.Random(seed)
    rows = [(name, f"{name}{n}") for name, count in classes for n in range(count) for _ in range(dice.randint(1, largest))]
    dice.shuffle(rows)
    return pd.DataFrame(rows, columns=["class", "patient"])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("limit", [40, 101, 250])
def test_choose_fills_the_limit_with_whole_patients_in_proportion(seed, limit):
    table = patients(seed)
    chosen = choose(table, limit, seed)
    assert len(chosen) == limit  # with single images about, whole patients can fill any limit
    assert chosen == sorted(set(chosen))
    taken = table.iloc[chosen]
    sizes = table["patient"].value_counts()
    assert taken["patient"].value_counts().to_dict() == sizes[taken["patient"].unique()].to_dict()
    share = (table["class"] == "A").mean()
    assert abs((taken["class"] == "A").sum() - share * limit) <= 2 * 6  # within two of the largest patients


def test_choose_follows_the_seed():
    table = patients(0)
    assert choose(table, 50, 1) == choose(table, 50, 1)
    assert choose(table, 50, 1) != choose(table, 50, 2)
    assert choose(table, len(table), 1) == list(range(len(table)))


@pytest.mark.parametrize(
    ("sizes", "limit", "most"),
    [
        ({"a": 4, "b": 4}, 7, 4),
        ({"a": 4, "b": 4}, 3, 0),
        ({"a": 3, "b": 5, "c": 7}, 8, 8),
        ({"a": 3, "b": 5, "c": 7}, 10, 10),
        ({"a": 3, "b": 5, "c": 7}, 11, 10),
    ],
)
def test_choose_comes_as_near_to_the_limit_as_whole_patients_allow(sizes, limit, most):
    table = pd.DataFrame([("A", name) for name, size in sizes.items() for _ in range(size)], columns=["class", "patient"])
    # The smallest patient always counts as the class's one patient, which 3 + 7 and 3 + 5 contain.
    assert len(choose(table, limit, 0)) == most


def test_choose_keeps_a_patient_of_every_class_where_that_fits():
    rows = [("A", f"a{n}") for n in range(50)] + [("B", "b1")] * 3 + [("B", "b2")] * 2
    table = pd.DataFrame(rows, columns=["class", "patient"])
    for seed in range(5):
        assert set(table.iloc[choose(table, 3, seed)]["class"]) == {"A", "B"}
        assert table.iloc[choose(table, 1, seed)]["class"].tolist() == ["A"]


def test_workers_start_without_matplotlib_and_torch():
    code = "import sys, stages.preprocess; sys.exit(bool({'matplotlib', 'torch'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_stage_writes_what_the_next_ones_read(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "data/raw")
    (tmp_path / "params.yaml").write_text(
        "preprocess: {size: 16, normalise: none, limit: 5, max_damaged: 0.5, seed: 0}\n"
        "runtime: {workers: 1, device: cpu, checkpoint_minutes: 5, stall_seconds: 60, retry_minutes: 10, cluster: ''}\n"
    )
    stage.run(Path())
    first = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    names = {path.relative_to(tmp_path).as_posix() for path in first if "raw" not in path.parts}
    assert names == {
        "params.yaml",
        "data/images.npy",
        "data/images.csv",
        "data/rejected.csv",
        "metrics/preprocess.json",
        "plots/contact_sheet.png",
    }
    lines = (tmp_path / "data/images.csv").read_bytes().decode().split("\n")
    assert lines[0] == "id,class,patient,source,height,width,sha256"
    assert len(lines) == 5 + 2
    assert (tmp_path / "data/rejected.csv").read_text().startswith("file,class,kind,reason\nNORMAL/broken.jpeg,NORMAL,")
    assert json.loads((tmp_path / "metrics/preprocess.json").read_text())["left_out"] == {"NORMAL": 0, "PNEUMONIA": 2}
    assert capsys.readouterr().out == "found 11; used 5; left out 2; damaged 2; too small 1; duplicate 1\n"
    stage.run(tmp_path)
    assert {path: path.read_bytes() for path in first} == first
