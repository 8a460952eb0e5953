"""The benchmark of lesions against mirrored lung, on drawings."""

import csv
import io
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import lesions as tool
from cxr.dataset.packed import Frame
from cxr.detection.settings import Learning
from cxr.foundation.errors import UserError
from cxr.superres.evaluation.observed import degraded
from cxr.superres.methods import NETWORKS
from cxr.superres.settings import Degradation

SHAPE = 300, 322


class Restorers(SimpleNamespace):
    """Networks that enlarge as bicubic interpolation does."""

    scales = (2,)
    degradations = (Degradation(2),)

    def restore(self, image, identity, degradation):
        restored = degraded(image, identity, degradation, 0, torch.device("cpu")).restored({})
        return restored._replace(images={**restored.images, **dict.fromkeys(NETWORKS, restored.images["bicubic"])})


def disc(row, column, radius):
    down, across = np.indices(SHAPE)
    return (down - row) ** 2 + (across - column) ** 2 <= radius**2


def drawn(number):
    """Return noise with a bright lesion in it, and its mask."""
    source = np.random.default_rng(number)
    mask = disc(source.integers(60, 240), source.choice([60, 250]), 4 + number % 3 * 2)
    return np.clip(source.normal(100, 10, SHAPE) + 60 * mask, 0, 255).astype(np.uint8), mask


def archived(path, patients):
    with zipfile.ZipFile(path, "w") as archive:
        table = io.StringIO()
        writer = csv.DictWriter(table, ["file", "mask", "patient", "lesions"])
        writer.writeheader()
        for number in range(patients):
            names = {kind: f"{kind}s/{number}.png" for kind in ("image", "mask")}
            for name, pixels in zip(names.values(), drawn(number), strict=True):
                buffer = io.BytesIO()
                Image.fromarray(pixels.astype(np.uint8) * (255 if "mask" in name else 1)).save(buffer, "png")
                archive.writestr(name, buffer.getvalue())
            writer.writerow({"file": names["image"], "mask": names["mask"], "patient": f"p{number}", "lesions": 1})
        archive.writestr("table.csv", table.getvalue())
    return path


def test_each_lesion_has_a_window_and_its_mirror_image_has_another():
    (lesion,), left_out = tool.found_in(disc(100, 80, 5))
    assert (lesion.top + 32, lesion.left + 32) == (100, 80)
    assert (lesion.left + 32) + (lesion.mirrored + 32) == SHAPE[1]
    assert lesion.diameter == pytest.approx(10, abs=0.3)
    assert left_out == (0, 0)


def test_lesions_are_left_out_where_a_window_would_leave_the_frame_or_show_two():
    assert tool.found_in(disc(20, 80, 5)) == ((), (1, 0))
    assert tool.found_in(disc(100, 80, 5) | disc(110, 240, 5)) == ((), (0, 2))
    assert tool.found_in(disc(100, SHAPE[1] // 2, 5)) == ((), (0, 1))  # which is in its own mirrored window


def test_windows_show_the_lesion_and_the_mirrored_place_in_either_form():
    pixels, mask = np.full(SHAPE, 100, np.uint8), disc(100, 80, 5)
    pixels[mask] = 200
    radiograph = tool.Radiograph("a", "p", pixels, *tool.found_in(mask))
    for form in (tool.FULL, tool.SMALLER):
        windows = tool.originals([radiograph], form)
        assert windows.pixels.shape == (2, 1, 64, 64)
        assert windows.shown.tolist() == [True, False]
        assert windows.right.tolist() == [False, True]
        assert windows.pixels[0, 0, 32, 32] == pytest.approx(200 / 255, abs=0.03)
        assert windows.pixels[1].float().std() < 1e-3
        bright = np.argwhere(windows.pixels[0, 0].numpy() > 150 / 255)
        assert bright.mean(axis=0) == pytest.approx([32, 32], abs=0.3)
    seen = tool.views([radiograph], tool.SMALLER, Restorers())
    bright = np.argwhere(seen["bicubic", "x2"][0, 0].numpy() > 150 / 255)
    assert bright.mean(axis=0) == pytest.approx([32, 32], abs=0.5)


def test_patients_stay_together_and_classes_have_a_third_each():
    parts = tool.divided([f"p{number}" for number in range(100)] * 2)
    assert [list(parts.values()).count(part) for part in tool.SHARES] == [60, 15, 25]
    bounds = tool.classes(np.arange(1.0, 31.0))
    assert list(bounds) == ["all", "below 10.7", "10.7 to 20.3", "from 20.3"]


def test_detail_is_missing_where_lines_are_blurred():
    sharp = np.random.default_rng(0).integers(0, 256, SHAPE).astype(np.uint8)
    blurred = ((sharp.astype(float) + np.roll(sharp, 1, 0) + np.roll(sharp, -1, 0)) / 3).astype(np.uint8)
    found = tool.found_in(disc(100, 80, 5))
    radiographs = [tool.Radiograph("a", "p", pixels, *found) for pixels in (sharp, blurred)]
    assert abs(tool.less_down(radiographs[0])) < 0.5
    assert tool.less_down(radiographs[1]) > 6
    assert [row["value"] for row in tool.details(radiographs)] == sorted(row["value"] for row in tool.details(radiographs))


def test_an_archive_is_measured_by_view_and_diameter(tmp_path):
    path = archived(tmp_path / "drr.zip", 60)
    settings = Learning("compact", 0, 12, 8, 0.002, 0)
    rows = tool.measured(path, Restorers(), settings, (0.002,), 1)
    assert {tuple(row) for row in rows} == {tool.COLUMNS}
    of = {(row["form"], row["diameter"], row["of"], row["degradation"]): row for row in rows if row["what"] == "area"}
    assert of[tool.FULL, "all", "original", ""]["value"] > 0.8
    assert of[tool.FULL, "all", "edsr", "x2"]["value"] == of[tool.FULL, "all", "bicubic", "x2"]["value"]
    apart = {row["of"]: row for row in rows if row["what"] == "difference" and row["form"] == tool.SMALLER}
    assert apart["edsr-bicubic"]["value"] == 0
    assert apart["edsr-bicubic"]["low"] is apart["edsr-bicubic"]["detectable"] is None
    counted = {row["of"]: row["value"] for row in rows if row["what"] == "count"}
    assert counted["radiographs"] == counted["train"] + counted["val"] + counted["test"] == 60
    with pytest.raises(UserError, match="too few patients"):
        tool.measured(archived(tmp_path / "one.zip", 1), Restorers(), settings, (0.002,), 1)


def test_a_smaller_form_has_a_shorter_side_of_256():
    radiograph = tool.Radiograph("a", "p", np.full(SHAPE, 90, np.uint8), (), (0, 0))
    assert tool.smaller(radiograph).shape == (256, 275)
    whole = torch.rand(1, 1, *SHAPE)
    assert tool.in_frame(whole, SHAPE, SHAPE) is not None
    assert torch.equal(tool.in_frame(whole[..., :298, :320], SHAPE, SHAPE)[..., :298, :320], whole[..., :298, :320])
    assert Frame(radiograph.pixels).white == 255
