"""The in-silico trial: what is drawn, what observers make of it, and what is said of that."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML
from scipy.ndimage import gaussian_filter
from scipy.signal import periodogram
from scipy.stats import norm

from cxr.foundation import params
from cxr.foundation.errors import UserError
from cxr.measures.areas import Design, area, difference
from cxr.measures.spectrum import decibels, radial
from cxr.sources.phantom.anatomy import Anatomy
from cxr.sources.phantom.tissues import CORTICAL_BONE, INFLATED_LUNG, SOFT_TISSUE
from cxr.superres.methods import BICUBIC, LEAD, LOW, ORIGINAL
from cxr.superres.told import Told
from cxr.trial.analysis import (
    AREA,
    COLUMNS,
    DIFFERENCE,
    HOTELLING,
    PRIMARY,
    RECOVERED,
    WORTH_DOSE,
    WORTH_PIXEL,
    Cell,
    Part,
    combined,
    gates,
    least_found,
    part,
    recovered,
    rows,
)
from cxr.trial.findings import added
from cxr.trial.observers import Scores, hotelling, network
from cxr.trial.protocol import EDGE, FINDINGS, NODULE, REACH, Protocol, Setting
from cxr.trial.regions import as_tensor, person, regions, taken, whole
from cxr.trial.run import halves, people_of
from cxr.trial.spectrum import Reference, spectrum
from cxr.trial.views import AS_USED, VIEWS, Arrived, models, sharpened, views
from tests.support.tiny import ROOT
from tools.dependencies import closure

PROTOCOL = params.read(ROOT / "trial/params.yaml", "trial", Protocol)
TINY = replace(PROTOCOL, people=4, regions=2, side=80, inner=72, epochs=1)


@pytest.fixture(scope="module")
def child():
    return person(TINY, 0, 0.6)


# What is drawn


def test_a_finding_has_the_mass_that_its_shape_has():
    pixel, side = 0.15, 80
    per_mm = SOFT_TISSUE - INFLATED_LUNG
    mass = {name: added(name, 1.0, side, pixel).sum() * pixel**2 for name in FINDINGS}
    assert mass[NODULE] == pytest.approx(per_mm * 4 / 3 * np.pi * 4**3, rel=0.01)
    assert mass["miliary texture"] == pytest.approx(9 * per_mm * 4 / 3 * np.pi * 0.75**3, rel=0.01)
    assert mass["septal lines"] == pytest.approx(3 * per_mm * np.pi * 0.35**2 * 8, rel=0.02)
    assert mass["catheter tip"] == pytest.approx(CORTICAL_BONE * np.pi * (0.8**2 - 0.5**2) * 5, rel=0.02)


@pytest.mark.parametrize("finding", FINDINGS)
def test_a_finding_lies_within_reach_and_is_the_same_with_any_pixel(finding):
    fine, coarse = (added(finding, 0.5, side, pixel) for side, pixel in ((160, 0.15), (40, 0.6)))
    line = np.abs((np.arange(160) + 0.5 - 80) * 0.15)
    assert np.hypot(*np.meshgrid(line, line))[fine > 0].max() <= REACH + 0.15 * np.sqrt(0.5)
    assert coarse.sum() * 0.6**2 == pytest.approx(fine.sum() * 0.15**2, rel=5e-3)


@pytest.mark.parametrize("finding", FINDINGS)
def test_twice_the_contrast_adds_twice_as_much(finding):
    np.testing.assert_allclose(added(finding, 0.8, 40, 0.3), 2 * added(finding, 0.4, 40, 0.3), rtol=1e-6)


def test_regions_lie_in_lung_at_the_same_places_whatever_a_pixel_measures(child):
    finer = person(TINY, 0, 0.3)
    middles = [(each.corners + TINY.side // 2 + EDGE) / each.integral.shape for each in (child, finer)]
    np.testing.assert_allclose(*middles, atol=0.003)
    for top, left in child.corners:
        assert child.integral[top : top + TINY.side, left : left + TINY.side].max() < 6


def test_an_adult_is_a_larger_child(child):
    adult = person(replace(TINY, seed=TINY.seed), 1, 0.6)
    assert adult.integral.shape[0] == pytest.approx(1.5 * child.integral.shape[0], abs=1)
    assert np.median(adult.integral) > 1.2 * np.median(child.integral)
    assert Anatomy.of(TINY.seed, 0) != Anatomy.of(TINY.seed, 1)


def test_regions_are_cut_out_of_the_radiograph_but_for_their_noise(child):
    """With a thousand times the dose nothing else is left: the display and the scatter are those of the whole."""
    setting = Setting(1000, 0.6)
    cut, all_of_it = taken(regions(child, TINY), TINY, setting, "none"), whole(child, TINY, setting)
    for levels, (top, left) in zip(cut, child.corners + EDGE, strict=True):
        there = all_of_it[top : top + TINY.side, left : left + TINY.side]
        assert np.abs(levels.astype(int) - there).max() <= 1


def test_less_dose_means_more_noise_and_a_finding_is_brighter(child):
    of = regions(child, TINY)
    noise = []
    for dose in (0.25, 4):
        pair = [taken(of, TINY, Setting(dose, 0.6), name).astype(float) for name in ("none", "other")]
        noise.append((pair[0] - pair[1]).std())
    assert noise[0] == pytest.approx(4 * noise[1], rel=0.35)  # rounding to whole levels is in both
    adds = added(NODULE, 1.0, TINY.side + 2 * EDGE, 0.6)
    change = taken(of, TINY, Setting(1000, 0.6), "none", adds).astype(float) - taken(of, TINY, Setting(1000, 0.6), "none")
    middle = slice(TINY.side // 2 - 2, TINY.side // 2 + 2)
    assert change[:, middle, middle].mean() > 5
    assert np.abs(change[:, :4, :4]).max() <= 2


def test_a_region_with_a_finding_has_other_noise_and_a_run_gives_the_same_bytes_again(child):
    of, setting = regions(child, TINY), TINY.usual
    first, again, other = (taken(of, TINY, setting, name) for name in ("none", "none", NODULE))
    assert (first == again).all()
    assert (first != other).any()


# Views


def test_every_view_has_the_middle_of_the_regions(child):
    levels = taken(regions(child, TINY), TINY, TINY.usual, "none")
    seen = views(levels, TINY, Arrived(Told(), 0.5), models())
    edge = (TINY.side - TINY.inner) // 2
    assert tuple(seen) == VIEWS
    assert (seen[ORIGINAL] == levels[:, edge:-edge, edge:-edge]).all()
    assert (seen[LOW][:, ::2, ::2] == seen[LOW][:, 1::2, 1::2]).all()
    half = (seen[BICUBIC].astype(float) + seen[LEAD]) / 2
    assert np.abs(seen[AS_USED] - half).max() <= 1


def test_unsharp_masking_adds_what_a_gaussian_takes_away():
    image = np.random.default_rng(0).uniform(0.4, 0.6, (1, 40, 40))
    found = sharpened(as_tensor((image * 255).astype(np.uint8)), 2.0, 1.0)[0, 0].numpy()
    given = (image[0] * 255).astype(np.uint8) / 255
    expected = 2 * given - gaussian_filter(given, 2.0, mode="nearest", truncate=4)
    np.testing.assert_allclose(found, expected, atol=2e-3)


# Observers


def test_in_white_noise_hotelling_is_as_good_as_the_ideal_observer():
    random, first = np.random.default_rng(0), np.arange(2000) < 1000
    signal = np.array([1.0, 0.5, 0.0])
    scores = hotelling(random.normal(size=(2000, 3)), signal + random.normal(size=(2000, 3)), first)
    value = part(scores, np.repeat(np.arange(100.0), 20)).value
    assert value == pytest.approx(norm.cdf(np.linalg.norm(signal) / np.sqrt(2)), abs=0.02)
    assert abs(scores.absent.mean()) < 0.1
    assert scores.absent.std() == pytest.approx(1, abs=0.05)


def test_observers_find_nothing_where_there_is_nothing():
    random, first = np.random.default_rng(1), np.arange(400) < 200
    people = np.repeat(np.arange(20.0), 20)
    found = [hotelling(random.normal(size=(400, 4)), random.normal(size=(400, 4)), first)]
    noise = [random.integers(100, 140, (400, 24, 24)).astype(np.uint8) for _ in range(2)]
    found.append(network(noise[0], {NODULE: noise[1]}, first, 2, 0)[NODULE])
    for scores in found:
        assert part(scores, people).value == pytest.approx(0.5, abs=0.08)


def test_nobody_is_judged_by_an_observer_that_learnt_from_him():
    """With as many channels as regions an observer knows those that it learnt from by heart, and no others."""
    random, first = np.random.default_rng(3), np.arange(80) < 40
    absent, present = random.normal(size=(2, 80, 40))
    value = part(hotelling(absent, present, first), np.repeat(np.arange(20.0), 4)).value
    assert value == pytest.approx(0.5, abs=0.12)
    noise = random.integers(100, 140, (2, 80, 24, 24)).astype(np.uint8)
    found = network(noise[0], {NODULE: noise[1]}, first, 30, 0)[NODULE]
    assert part(found, np.repeat(np.arange(20.0), 4)).value == pytest.approx(0.5, abs=0.15)


def test_a_small_network_gives_the_same_scores_whatever_was_drawn_before():
    random, first = np.random.default_rng(4), np.arange(24) < 12
    absent, present = random.integers(100, 140, (2, 24, 24, 24)).astype(np.uint8)
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        found.append(network(absent, {NODULE: present}, first, 2, 0)[NODULE])
    assert all((one == other).all() for one, other in zip(*found, strict=True))


def test_the_halves_share_nobody_and_both_have_children_and_adults():
    people, first = people_of(PROTOCOL), halves(PROTOCOL)
    assert not set(people[first]) & set(people[~first])
    assert all(set(people[of] % 2) == {0, 1} for of in (first, ~first))


def test_the_least_difference_is_found_four_times_in_five():
    seen, least = [], []
    for seed in range(300):
        scores = drawn({}, seed=seed)
        one, other = (part(scores[view], PEOPLE) for view in (LEAD, BICUBIC))
        least.append(least_found(one, other))
        seen.append(combined([one, other], lambda areas: areas[0] - areas[1]).value)
    there = np.mean(least)
    error = np.std(seen, ddof=1)
    assert norm.sf(1.96 - there / error) == pytest.approx(0.8, abs=0.06)


def test_the_small_network_finds_a_bright_dot_in_anatomy_that_varies_more():
    random, first = np.random.default_rng(2), np.arange(200) < 100
    broad = random.uniform(60, 180, (2, 200, 1, 1)) + np.linspace(-30, 30, 24)
    images = (broad + random.normal(0, 2, (2, 200, 24, 24))).round()
    images[1, :, 11:13, 11:13] += 8
    scores = network(images[0].astype(np.uint8), {NODULE: images[1].astype(np.uint8)}, first, 8, 0)[NODULE]
    assert part(scores, np.repeat(np.arange(20.0), 10)).value > 0.9


# What is said


def drawn(area_of: dict[str, float], people: int = 40, each: int = 20, seed: int = 0) -> dict[str, Scores]:
    """Scores of views whose true areas are given, alike but for a little noise of their own."""
    random = np.random.default_rng(seed)
    common = random.normal(size=(2, people * each))
    made = {}
    for view in VIEWS:
        own = 0.95 * common + np.sqrt(1 - 0.95**2) * random.normal(size=common.shape)
        made[view] = Scores(own[0], own[1] + np.sqrt(2) * norm.ppf(area_of.get(view, 0.75)))
    return made


PEOPLE = np.repeat(np.arange(40.0), 20)


def test_an_area_and_its_error_are_those_of_delong():
    scores = drawn({})[BICUBIC]
    one, names = part(scores, PEOPLE), PEOPLE.astype(int).astype(str)
    design = Design(np.r_[np.zeros(800, bool), np.ones(800, bool)], np.r_[names, names])
    expected = area(np.r_[scores.absent, scores.present], design)
    found = combined([one], lambda areas: areas[0])
    assert found.value == pytest.approx(expected.value)
    assert found.high - found.low == pytest.approx(expected.high - expected.low, rel=0.05)  # which is on the logit


def test_a_difference_has_the_interval_that_it_has_elsewhere():
    scores = drawn({ORIGINAL: 0.8, BICUBIC: 0.75})
    names = PEOPLE.astype(int).astype(str)
    design = Design(np.r_[np.zeros(800, bool), np.ones(800, bool)], np.r_[names, names])
    expected = difference(*(np.r_[scores[view].absent, scores[view].present] for view in (ORIGINAL, BICUBIC)), design)
    parts = [part(scores[view], PEOPLE) for view in (ORIGINAL, BICUBIC)]
    found = combined(parts, lambda areas: areas[0] - areas[1])
    assert found.value == pytest.approx(expected.value)
    assert found.low == pytest.approx(expected.low, abs=2e-3)


def test_intervals_of_the_recovered_share_hold_the_truth_as_often_as_they_say():
    held = []
    for seed in range(200):
        scores = drawn({ORIGINAL: 0.80, BICUBIC: 0.70, LEAD: 0.75}, seed=seed)
        found = recovered(*(part(scores[view], PEOPLE) for view in (LEAD, BICUBIC, ORIGINAL)))
        held.append(found.low <= 0.5 <= found.high)
    assert 0.90 <= np.mean(held) <= 0.99


def test_no_share_is_told_where_nothing_is_lost_for_sure():
    scores = drawn({ORIGINAL: 0.75, BICUBIC: 0.75})
    assert np.isnan(recovered(*(part(scores[view], PEOPLE) for view in (LEAD, BICUBIC, ORIGINAL))).value)


def cells(protocol: Protocol, areas) -> list[Cell]:
    return [
        Cell(HOTELLING, finding, setting, drawn(areas(finding, setting), seed=number))
        for number, setting in enumerate(protocol.settings)
        for finding in FINDINGS
    ]


def usual(finding: str, setting: Setting) -> dict[str, float]:
    """Areas of which dose and pixel decide, and of which the original is best."""
    lost = 0.01 if finding == NODULE else 0.08
    better = 0.04 * np.log2(setting.dose) / 2 - 0.05 * np.log2(setting.pixel / 0.3)
    return {ORIGINAL: 0.8 + better, LOW: 0.8 + better - lost, BICUBIC: 0.8 + better - lost, LEAD: 0.8 + better - lost / 2} | {
        view: 0.78 + better - lost for view in VIEWS[3:] if view != LEAD
    }


def told(protocol: Protocol, areas) -> list[dict]:
    return rows(cells(protocol, areas), PEOPLE, protocol)


@pytest.fixture(scope="module")
def found() -> list[dict]:
    return told(PROTOCOL, usual)


def of(found: list[dict], **wanted) -> list[dict]:
    return [row for row in found if all(row[name] == value for name, value in wanted.items())]


def test_rows_say_every_view_at_every_setting(found):
    assert all(tuple(row) == COLUMNS for row in found)
    assert len(of(found, what=AREA, people="all")) == 5 * len(FINDINGS) * len(VIEWS)
    one = of(found, what=DIFFERENCE, people="all", finding="septal lines", view=LEAD, of=BICUBIC, dose=1.0, pixel=0.3)
    assert len(one) == 1
    assert one[0]["value"] == pytest.approx(0.04, abs=0.02)
    shares = of(found, what=RECOVERED, finding="septal lines", view=LEAD, dose=1.0, pixel=0.3)
    assert shares[0]["low"] < 0.5 < shares[0]["high"]


def test_the_primary_comparison_is_adjusted_by_holms_method_and_no_other(found):
    wanted = {"observer": HOTELLING, "people": "all", "view": LEAD, "of": BICUBIC, "dose": 1.0, "pixel": 0.3}
    plain, primary = of(found, what=DIFFERENCE, **wanted), of(found, what=PRIMARY, **wanted)
    assert [row["finding"] for row in primary] == list(FINDINGS)
    p = np.array([row["p"] for row in plain])
    order = np.argsort(p)
    stepped = np.minimum(np.maximum.accumulate(p[order] * np.arange(5, 0, -1)), 1)
    assert [primary[place]["p"] for place in order] == pytest.approx(list(stepped))


def test_dose_and_pixel_are_told_at_which_bicubic_does_as_well(found):
    """The lead's area is .04 above bicubic's at the usual setting, as bicubic's is at the greatest dose."""
    dose = of(found, what=WORTH_DOSE, finding="septal lines", view=LEAD)[0]
    pixel = of(found, what=WORTH_PIXEL, finding="septal lines", view=LEAD)[0]
    assert dose["of"] == "" or dose["of"] == "above"
    assert dose["value"] is None or dose["value"] == pytest.approx(4, rel=0.5)
    assert pixel["value"] == pytest.approx(0.3 * 2**-0.8, rel=0.25)
    assert of(found, what=WORTH_DOSE, finding="septal lines", view=ORIGINAL)[0]["of"] == "above"


def test_the_gates_hold_where_all_is_as_it_should_be():
    held = gates(cells(PROTOCOL, usual), PEOPLE, PROTOCOL, np.array([1.0, -2.9]), 1.2)
    assert [gate.held for gate in held] == [True, True, True]


def test_each_gate_fails_alone():
    def alike(finding: str, setting: Setting) -> dict[str, float]:
        return {**usual("septal lines", setting)}

    def beaten(finding: str, setting: Setting) -> dict[str, float]:
        return {**usual(finding, setting), LEAD: 0.9}

    none = np.zeros(3)
    assert [gate.held for gate in gates(cells(PROTOCOL, alike), PEOPLE, PROTOCOL, none, 1.2)] == [False, True, True]
    judged = gates(cells(PROTOCOL, beaten), PEOPLE, PROTOCOL, none, 1.2)
    assert [gate.held for gate in judged] == [True, False, True]
    assert LEAD in judged[1].told
    assert [gate.held for gate in gates(cells(PROTOCOL, usual), PEOPLE, PROTOCOL, np.array([0, -3.1]), 1.2)] == [
        True,
        True,
        False,
    ]


def test_an_area_that_does_not_vary_has_no_interval():
    flat = Part(0.5, np.zeros(10))
    assert combined([flat], lambda areas: areas[0]).low is None


# The spectrum


def test_power_is_that_of_scipy_along_a_line_of_white_noise():
    random, pixel = np.random.default_rng(0), 0.4
    edges = np.linspace(0, 1.25, 9)
    power = np.mean([radial(3 * random.normal(size=(64, 64)), pixel, edges) for _ in range(40)], axis=0)
    assert power[1:] == pytest.approx(9 * pixel**2, rel=0.1)  # white: the variance, times the area of a pixel
    _, along = periodogram(3 * random.normal(size=(2000, 64)), fs=1 / pixel, window="hann", return_onesided=False)
    assert along[:, 4:-4].mean() * pixel == pytest.approx(power[3], rel=0.1)


def test_blur_falls_as_a_gaussian_does():
    random, pixel, width = np.random.default_rng(0), 0.5, 1.0
    images = [gaussian_filter(random.normal(size=(96, 96)), width, mode="wrap") for _ in range(30)]
    edges = np.array([0.2, 0.22, 0.4, 0.42])
    low, _, high = decibels(np.mean([radial(image, pixel, edges) for image in images], axis=0))
    expected = 10 * np.log10(np.exp(-((2 * np.pi * width * pixel) ** 2) * (0.41**2 - 0.21**2)))
    assert high - low == pytest.approx(expected, abs=1)


def test_phantoms_of_the_protocol_have_the_spectrum_that_is_kept():
    reference = Reference.read(ROOT / "trial/spectrum.csv")
    assert all(first < second for first, second in pairwise(reference.edges))
    images = [whole(person(PROTOCOL, number, reference.pixel), PROTOCOL, Setting(1, reference.pixel)) for number in (1, 3)]
    assert np.abs(spectrum(iter(images), reference.pixel, reference.edges, 0) - reference.power).max() < 8


# The protocol


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"doses": [1, 0.5, 4]}, "doses"),
        ({"doses": [-1, 0, 4]}, "doses"),
        ({"pixels": [0.05, 0.1, 0.2]}, "pixels"),
        ({"inner": 16}, "pixels"),
        ({"people": 5}, "people"),
        ({"side": 33}, "side"),
        ({"contrasts": {"nodule": 1}}, "contrasts"),
        ({"contrasts": dict.fromkeys(FINDINGS, 0)}, "contrasts"),
    ],
)
def test_a_protocol_that_cannot_be_is_refused_in_one_line(tmp_path, changed, told):
    document = YAML(typ="safe").load(ROOT / "trial/params.yaml")
    document["trial"] |= changed
    YAML().dump(document, tmp_path / "params.yaml")
    with pytest.raises(UserError, match=told) as error:
        params.read(tmp_path / "params.yaml", "trial", Protocol)
    assert "\n" not in str(error.value)


def test_the_stage_is_declared_apart_with_the_code_that_it_imports():
    declared = YAML(typ="safe").load(ROOT / "trial/dvc.yaml")["stages"]
    assert list(declared) == ["trial"]
    stage = declared["trial"]
    assert {dep for dep in stage["deps"] if dep.endswith(".py")} == closure("stages.trial")
    assert stage["cmd"] == "python -m stages.trial"
    assert "trial" not in YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]


def test_the_protocol_has_as_many_pairs_as_it_promises():
    assert PROTOCOL.pairs >= 2000
    assert len(people_of(PROTOCOL)) == PROTOCOL.pairs
