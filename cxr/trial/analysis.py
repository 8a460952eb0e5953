"""What the scores say: areas, differences, what of a loss is recovered, and what dose or pixel a method is worth."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise, product
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import t

from cxr.measures.areas import POWER, Design, area, difference, placed
from cxr.measures.intervals import ENOUGH, Estimate, Floats, Truths, holm, outward, student, sums
from cxr.superres.methods import BICUBIC, LEAD, ORIGINAL
from cxr.trial.observers import Scores
from cxr.trial.protocol import FINDINGS, NODULE, Protocol, Setting
from cxr.trial.views import AS_USED, LESS, UNSHARP, VIEWS

DECIMALS = 4
OTHERS = ORIGINAL, BICUBIC, UNSHARP
"""Views with which those after them are compared: unsharp masking since it knows nothing of radiographs."""
CLEAR = 4  # standard errors above zero that a loss must have, so that shares of it have an interval
STEP = 1e-4  # of area, for derivatives
HOTELLING, NETWORK = "hotelling", "network"
PEOPLE = ALL, CHILDREN, ADULTS = "all", "children", "adults"
COLUMNS = "what", "observer", "finding", "people", "dose", "pixel", "view", "of", "value", "low", "high", "p"
AREA, DIFFERENCE, DETECTABLE, RECOVERED, PRIMARY = "auc", "difference", "detectable", "recovered", "primary"
WORTH_DOSE, WORTH_PIXEL = "dose", "pixel"
Row = dict[str, Any]


class Cell(NamedTuple):
    """What an observer made of a finding at a setting."""

    observer: str
    finding: str
    setting: Setting
    scores: Mapping[str, Scores]
    """By view."""


class Part(NamedTuple):
    """An area, and by how much it is due to each person."""

    value: float
    of: Floats
    """(P,), whose sum is zero."""


def rows(cells: Sequence[Cell], people: Floats, protocol: Protocol) -> list[Row]:
    """Return all rows by COLUMNS. `people` (N,) has the number of the person whom each region shows.

    Children have even numbers. Intervals are of 95%, by person, and neither they nor p are adjusted, but for those of PRIMARY:
    LEAD against bicubic interpolation at the usual setting by Hotelling's observer, by Holm's method over findings.
    """
    made = [row for cell in cells for row in _of_cell(cell, people, protocol)]
    found = {(cell.observer, cell.finding, cell.setting): cell for cell in cells}
    for finding in FINDINGS:
        curve = {setting: found[HOTELLING, finding, setting] for setting in protocol.settings}
        made += _worth(curve, people, protocol)
    primary = [row for row in made if _is_primary(row, protocol) and row["p"] is not None]
    adjusted = zip(primary, holm([row["p"] for row in primary]), strict=True)
    return [*made, *({**row, "what": PRIMARY, "p": p} for row, p in adjusted)]


def _is_primary(row: Row, protocol: Protocol) -> bool:
    setting = Setting(row["dose"], row["pixel"])
    of = row["what"], row["observer"], row["people"], row["view"], row["of"]
    return setting == protocol.usual and of == (DIFFERENCE, HOTELLING, ALL, LEAD, BICUBIC)


def _of_cell(cell: Cell, people: Floats, protocol: Protocol) -> Iterator[Row]:
    """Yield the areas, differences and shares of a cell."""
    for group, of in ((ALL, people >= 0), (CHILDREN, people % 2 == 0), (ADULTS, people % 2 == 1)):
        design, joined = _design(people[of]), {view: _joined(cell.scores[view], of) for view in VIEWS}
        for view in VIEWS:
            yield _row(AREA, cell, group, view, "", area(joined[view], design))
        for view, other in product(VIEWS, OTHERS):
            if VIEWS.index(view) > VIEWS.index(other):
                yield _row(DIFFERENCE, cell, group, view, other, difference(joined[view], joined[other], design))
        if group == ALL:
            parts = {view: part(cell.scores[view], people) for view in VIEWS}
            for view in LESS:
                yield _row(RECOVERED, cell, group, view, "", recovered(parts[view], parts[BICUBIC], parts[ORIGINAL]))
            if cell.setting == protocol.usual:
                for view in (LEAD, AS_USED):
                    yield _row(DETECTABLE, cell, group, view, BICUBIC, Estimate(least_found(parts[view], parts[BICUBIC])))


def _row(what: str, cell: Cell, group: str, view: str, of: str, found: Estimate) -> Row:
    value, low, high = outward(found, DECIMALS) if np.isfinite(found.value) else (None, None, None)
    named = what, cell.observer, cell.finding, group, cell.setting.dose, cell.setting.pixel, view, of
    return dict(zip(COLUMNS, (*named, value, low, high, found.p), strict=True))


def _design(people: Floats) -> Design:
    names = people.astype(int).astype(str)
    return Design(np.r_[np.zeros(len(names), bool), np.ones(len(names), bool)], np.r_[names, names])


def _joined(scores: Scores, of: Truths) -> Floats:
    found: Floats = np.r_[scores.absent[of], scores.present[of]]
    return found


def part(scores: Scores, people: Floats) -> Part:
    """Return the area of `scores` and each person's part in it: the linear part of DeLong's statistic, by person."""
    found = placed(_joined(scores, np.ones(len(people), bool)), _design(people).labels)
    _, of = np.unique(people, return_inverse=True)
    value = float(found.area)
    both = [sums(each - value, of) / len(each) for each in (found.positive, found.negative)]
    return Part(value, both[0] + both[1])


def combined(parts: Sequence[Part], of: Callable[[Sequence[float]], float]) -> Estimate:
    """Return what the function `of` makes of areas, with the interval that its linear part has, by person.

    Derivatives are differences over STEP to either side. There is no interval of fewer than ENOUGH people, or where
    the function is not finite.
    """
    values = [each.value for each in parts]
    value, moved = of(values), np.zeros_like(parts[0].of)
    for number, each in enumerate(parts):
        ends = [of([other + step * (place == number) for place, other in enumerate(values)]) for step in (-STEP, STEP)]
        moved = moved + (ends[1] - ends[0]) / (2 * STEP) * each.of
    count = len(moved)
    error = float(np.sqrt(count / (count - 1) * (moved**2).sum()))
    if count < ENOUGH or not np.isfinite(value) or not np.isfinite(error) or not error:
        return Estimate(float(value))
    return student(float(value), error, count - 1)


def least_found(one: Part, other: Part) -> float:
    """Return the least difference of two areas that would be told from zero with POWER, from the error that theirs has.

    `cxr.measures.areas.detectable` simulates cases that are independent within a person; here each region is there twice.
    """
    freedom = len(one.of) - 1
    return float(t.ppf(0.975, freedom) + t.ppf(POWER, freedom)) * _error(one, other)


def recovered(method: Part, bicubic: Part, original: Part) -> Estimate:
    """Return the share of what bicubic interpolation loses that `method` wins back; NaN where it is not CLEAR that it loses."""
    loss = combined([original, bicubic], lambda areas: areas[0] - areas[1])
    if loss.low is None or loss.value < CLEAR * _error(original, bicubic):
        return Estimate(float("nan"))
    return combined([method, bicubic, original], lambda areas: (areas[0] - areas[1]) / (areas[2] - areas[1]))


def _error(one: Part, other: Part) -> float:
    count = len(one.of)
    return float(np.sqrt(count / (count - 1) * ((one.of - other.of) ** 2).sum()))


def _worth(curve: Mapping[Setting, Cell], people: Floats, protocol: Protocol) -> Iterator[Row]:
    """Yield at which dose, and with which pixel, bicubic interpolation does as well as each method at the usual setting.

    By linear interpolation, in the logarithm, of its areas at three doses and with three pixels. There is no value where the
    method lies outside them, or where they do not rise with dose or fall with the pixel; `of` says above, below or unsteady.
    """
    usual = curve[protocol.usual]
    for what, axis in ((WORTH_DOSE, 0), (WORTH_PIXEL, 1)):
        varied = (protocol.doses, protocol.pixels)[axis]
        at = [protocol.usual._replace(**{Setting._fields[axis]: each}) for each in varied]
        known = [part(curve[setting].scores[BICUBIC], people) for setting in at]
        rising = known if what == WORTH_DOSE else known[::-1]
        places = np.log2(varied if what == WORTH_DOSE else varied[::-1])
        for view in (*LESS, ORIGINAL):
            method = part(usual.scores[view], people)
            yield _row(what, usual, ALL, view, *_equivalent(method, rising, places))


def _equivalent(method: Part, rising: Sequence[Part], places: Floats) -> tuple[str, Estimate]:
    """Return where the curve of areas `rising` at `places` (binary logarithms) meets that of `method`, and what prevents it."""
    heights = [each.value for each in rising]
    if any(second <= first for first, second in pairwise(heights)):
        return "unsteady", Estimate(float("nan"))
    if method.value < heights[0]:
        return "below", Estimate(float("nan"))
    if method.value > heights[-1]:
        return "above", Estimate(float("nan"))
    found = combined([method, *rising], lambda areas: float(np.interp(areas[0], areas[1:], places)))
    ends = [None if end is None or not places.min() <= end <= places.max() else float(2**end) for end in found[1:3]]
    return "", Estimate(float(2**found.value), *(ends if None not in ends else (None, None)))


class Gate(NamedTuple):
    """What must be so for the trial to be believed."""

    name: str
    held: bool
    told: str


def gates(cells: Sequence[Cell], people: Floats, protocol: Protocol, deviations: Floats, upto: float) -> list[Gate]:
    """Return the three gates: resolution matters in the order expected, nothing beats the original, the spectrum is right.

    `deviations` (B,) are in decibels, of frequencies `upto` so many a mm. The order: what bicubic interpolation loses of the
    original's area is more for each finding than for the nodule, its 95% interval above zero, at the usual setting. Nothing
    beats: at no setting, by neither observer, is a view better than the original with p below 0.05, adjusted over all such
    differences by Holm's method.
    """
    usual = {cell.finding: cell for cell in cells if cell.observer == HOTELLING and cell.setting == protocol.usual}
    lost = {name: [part(cell.scores[view], people) for view in (ORIGINAL, BICUBIC)] for name, cell in usual.items()}
    apart = {}
    for name in FINDINGS:
        if name != NODULE:
            four = [*lost[name], *lost[NODULE]]
            apart[name] = combined(four, lambda areas: (areas[0] - areas[1]) - (areas[2] - areas[3]))
    ordered = all(each.low is not None and each.low > 0 for each in apart.values())
    design, every = _design(people), np.ones(len(people), bool)
    compared = []
    for cell in cells:
        original = _joined(cell.scores[ORIGINAL], every)
        for view in VIEWS[1:]:
            found = difference(_joined(cell.scores[view], every), original, design)
            if found.p is not None:
                compared.append((found, f"{view} by {found.value:.3f} ({cell.finding}, {cell.setting.name}, {cell.observer})"))
    adjusted = holm([found.p or 0 for found, _ in compared])
    beating = [said for (found, said), p in zip(compared, adjusted, strict=True) if p < 0.05 and found.value > 0]
    above = sum(found.value > 0 for found, _ in compared)
    most = float(np.abs(deviations).max())
    off = f"adults' spectrum, at its tuned gain and up to {upto:.1f} per mm, is {most:.2f} dB off at most"
    nothing = f"of {len(compared)} differences from the original {above} lie above zero, none for sure"
    told = ", ".join(f"{name} {in_words(each)}" for name, each in apart.items())
    return [
        Gate("order", ordered, f"loss of area beyond the nodule's: {told}"),
        Gate("original", not beating, "; ".join(beating) or nothing),
        Gate("spectrum", most <= 3, off),
    ]


def in_words(found: Estimate) -> str:
    """Return a difference with its interval, if it has one."""
    ends = "no interval" if found.low is None else f"{found.low:+.3f}, {found.high:+.3f}"
    return f"{found.value:+.3f} [{ends}]"
