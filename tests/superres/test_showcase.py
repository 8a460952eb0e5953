import numpy as np
import pandas as pd
import pytest

from cxr.foundation import params
from cxr.foundation.errors import UserError
from cxr.superres.evaluation.settings import ErrorMaps
from cxr.superres.evaluation.showcase import choose


def per_image(gains, scale="x2", base=30.0):
    rows = []
    for image, gain in gains.items():
        for model, psnr in (("bicubic", base), ("srcnn", base + 9.0), ("edsr", base + gain)):
            rows.append({"image": image, "model": model, "degradation": scale, "psnr": psnr})
    return pd.DataFrame(rows).sample(frac=1, random_state=0)


def test_chooses_the_extremes_and_the_median():
    gains = {f"i{k}": float(value) for k, value in enumerate(np.random.default_rng(0).permutation(21))}
    by_gain = sorted(gains, key=gains.get)
    assert choose(per_image(gains), "x2", 1) == [("worst", by_gain[0]), ("median", by_gain[10]), ("best", by_gain[20])]
    assert choose(per_image(gains), "x2", 3) == [
        *(("worst", by_gain[k]) for k in (0, 1, 2)),
        *(("median", by_gain[k]) for k in (9, 10, 11)),
        *(("best", by_gain[k]) for k in (20, 19, 18)),
    ]


def test_looks_at_the_asked_scale_alone():
    table = pd.concat([per_image({"a": 1, "b": 2, "c": 3}, "x2"), per_image({"a": 3, "b": 2, "c": 1}, "x3")])
    assert choose(table, "x2", 1) == [("worst", "a"), ("median", "b"), ("best", "c")]
    assert choose(table, "x3", 1) == [("worst", "c"), ("median", "b"), ("best", "a")]


def test_breaks_ties_by_id_whatever_the_order_of_rows():
    table = per_image({"d": 1.0, "b": 1.0, "a": 1.0, "c": 1.0})
    assert choose(table, "x2", 1) == [("worst", "a"), ("median", "b"), ("best", "d")]
    assert choose(table.iloc[::-1], "x2", 1) == choose(table, "x2", 1)


@pytest.mark.parametrize("panels", [1, 2, 3, 5])
@pytest.mark.parametrize("count", range(1, 12))
def test_never_chooses_an_image_twice_and_wastes_none(count, panels):
    gains = {f"{k:02}": float(k) for k in range(count)}
    chosen = choose(per_image(gains), "x2", panels)
    images = [image for _, image in chosen]
    assert len(set(images)) == len(images) == min(count, 3 * panels)
    by_rule = {rule: [gains[image] for r, image in chosen if r == rule] for rule in ("worst", "median", "best")}
    assert max(map(len, by_rule.values())) <= panels
    below_to_above = by_rule["worst"] + by_rule["median"] + by_rule["best"][::-1]
    assert below_to_above == sorted(below_to_above)


def test_an_image_without_any_error_gains_nothing():
    table = per_image({"a": -1.0, "c": 1.0})
    perfect = pd.DataFrame({"image": "b", "model": ["bicubic", "edsr"], "degradation": "x2", "psnr": np.inf})
    assert choose(pd.concat([table, perfect]), "x2", 1) == [("worst", "a"), ("median", "b"), ("best", "c")]


@pytest.mark.parametrize(("key", "value"), [("panels", 0), ("ceiling", 0), ("ceiling", 255.5), ("inset", 7)])
def test_refuses_values_that_make_no_figure(key, value):
    good = {"panels": 1, "ceiling": 10, "inset": 64}
    assert params.convert(good, ErrorMaps, "errormaps") == ErrorMaps(1, 10.0, 64)
    with pytest.raises(UserError, match=rf"errormaps\.{key} is {value}; expected"):
        params.convert({**good, key: value}, ErrorMaps, "errormaps")
