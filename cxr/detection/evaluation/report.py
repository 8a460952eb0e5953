"""What a detector's logits say of each finding, in each way in which radiographs were seen, and of groups of them."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cxr.detection.abstaining import ANSWERS, COVERAGE, NOT_KNOWN, Sets, answers
from cxr.detection.evaluation.target import TUBERCULOSIS, line, target
from cxr.detection.training import DECIMALS, operating
from cxr.measures.areas import POWER, Design, area, detectable, difference
from cxr.measures.discrimination import BINS, calibration_error
from cxr.measures.intervals import ENOUGH, Estimate, Floats, Truths, outward
from cxr.measures.ratios import likelihood_ratio
from cxr.superres import methods
from cxr.superres.methods import BICUBIC, LEAD, LOW, NAMES, ORIGINAL, RIVALS

DEGRADED_VIEWS = (LOW, *NAMES)
PAIRS = ((BICUBIC, ORIGINAL), (LEAD, ORIGINAL), *RIVALS)
TEST, EXTERNAL = "test", "external"
"""Groups of radiographs: of the sources that a detector learnt from, and of another."""
OF = ": "
"""In the name of a part of a group, between that and the collection."""

View = tuple[str, str]
"""How an image is seen, one of VIEWS or ORIGINAL, and the name of its degradation, or an empty text."""


class Case(NamedTuple):
    """What a detector made of radiographs of which one finding is known."""

    finding: str
    group: str
    design: Design
    threshold: float
    """The logit from which on it says yes."""
    scores: Mapping[View, Floats]
    """Logits (N,) by view."""
    shortcuts: Mapping[str, Floats]
    """Measures (N,) that know nothing of disease, the greater the more likely, as learnt on training images."""
    matched: npt.NDArray[np.intp]
    """The cases of pairs with and without the finding that are alike in sharpness."""
    sets: Sets
    unusual: Truths
    """Which of the originals (N,) the detector takes for unusual."""


def measured(case: Case) -> dict[str, Any]:
    """Return what the logits of `case` say.

    Areas have intervals, by `area` and `difference`; where there is none, low and high are None. Of a single class there are no
    areas, and nothing is compared.
    """
    labels, patients = case.design
    counts = {"images": len(labels), "patients": len(set(patients)), "positives": int(labels.sum())}
    found: dict[str, Any] = {"finding": case.finding, "group": case.group, **counts, "too_few": _too_few(case.design)}
    if len(labels):
        found |= {"abstaining": abstaining(case), "answered": answered(case)}
    if len(labels) and case.finding == TUBERCULOSIS:
        found["who"] = target(case.scores[ORIGINAL, ""] >= case.threshold, case.design)
    if labels.all() or not labels.any():
        return found
    of_pairs = {view: logits[case.matched] for view, logits in case.scores.items()}
    pairs = Design(labels[case.matched], patients[case.matched])
    logits = case.scores[ORIGINAL, ""]
    return {
        **found,
        "areas": _by_view(case.scores, lambda each: rounded(area(each, case.design))),
        "differences": _differences(case.scores, case.design),
        "shortcuts": [{"measure": name, **rounded(area(each, case.design))} for name, each in case.shortcuts.items()],
        "operating": _by_view(case.scores, lambda each: operating(each, labels, case.threshold)),
        "calibration": _by_view(case.scores, lambda each: calibration(each, labels)),
        "reliability": reliability(logits, labels),
        "pairs": len(case.matched) // 2,
        "of_pairs": _by_view(of_pairs, lambda each: rounded(area(each, pairs))) if len(case.matched) else [],
    }


def abstaining(case: Case) -> dict[str, Any]:
    """Return how often the set of an original holds the truth, by class, and how often it says nothing; None of no case."""
    held, labels = case.sets.holds(case.scores[ORIGINAL, ""]), case.design.labels

    def share(of: Truths) -> float | None:
        return round(float(of.mean()), DECIMALS) if len(of) else None

    return {
        "covered_with": share(held[labels, 1]),
        "covered_without": share(held[~labels, 0]),
        "not_known": share(answers(case.scores[ORIGINAL, ""], case.threshold, case.sets) == NOT_KNOWN),
        "unusual": share(case.unusual),
    }


def answered(case: Case) -> dict[str, Any]:
    """Return what is so of the originals of which the detector tells anything: those that are not unusual to it.

    The likelihood ratio of each of ANSWERS, None where there is none, and, of both classes, areas under the ROC curve.
    """
    of = ~case.unusual
    logits, design = case.scores[ORIGINAL, ""][of], Design(case.design.labels[of], case.design.patients[of])
    given = answers(logits, case.threshold, case.sets)
    ratios = []
    for number, name in enumerate(ANSWERS):
        ratio = likelihood_ratio(given == number, *design)
        ratios.append({"answer": name, **(rounded(ratio) if ratio else dict.fromkeys(("value", "low", "high")))})
    both = design.labels.any() and not design.labels.all()
    measures = case.shortcuts.items() if both else ()
    return {
        "images": int(of.sum()),
        "positives": int(design.labels.sum()),
        "ratios": ratios,
        "area": rounded(area(logits, design)) if both else None,
        "shortcuts": [{"measure": name, **rounded(area(each[of], design))} for name, each in measures],
    }


def calibration(logits: Floats, labels: Truths) -> dict[str, float]:
    """Return Brier's score and the calibration error of `logits` (N,), without intervals: none is known to cover."""
    probabilities = _probabilities(logits)
    return {
        "brier": round(float(((probabilities - labels) ** 2).mean()), DECIMALS),
        "error": round(calibration_error(probabilities, labels), DECIMALS),
    }


def reliability(logits: Floats, labels: Truths) -> list[dict[str, Any]]:
    """Return a record for each of BINS bins of probability that has cases: how many, what was predicted, what share was ill."""
    probabilities = _probabilities(logits)
    bins = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    return [
        {
            "bin": int(number),
            "images": int((bins == number).sum()),
            "predicted": round(float(probabilities[bins == number].mean()), DECIMALS),
            "observed": round(float(labels[bins == number].mean()), DECIMALS),
        }
        for number in np.unique(bins)
    ]


def for_metrics(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return all that metrics/detect.json holds of `found`, of each finding and group.

    What `dvc metrics diff` shows are areas under the ROC curve by finding: of the originals, of LEAD at the least scale, and of
    another source's originals. The rest is in a list, which it leaves out.
    """
    shown: dict[str, dict[str, float]] = {}
    for record in found:
        areas = {(each["view"], each["degradation"]): each["value"] for each in record.get("areas", ())}
        if not areas or OF in record["group"]:
            continue
        of_finding = shown.setdefault(record["finding"], {})
        if record["group"] == EXTERNAL:
            of_finding[EXTERNAL] = areas[ORIGINAL, ""]
            continue
        of_finding[ORIGINAL] = areas[ORIGINAL, ""]
        if least := min((name for view, name in areas if view == LEAD), default=""):
            of_finding[f"{LEAD}_{least}"] = areas[LEAD, least]
    return {"auc": shown, "measured": [dict(record) for record in found]}


def table(found: Sequence[Mapping[str, Any]]) -> str:
    """Return the findings as lines of text."""
    lines = ["In brackets: 95% interval, by patient; none where it is not known to cover. For research, not for diagnosis."]
    for record in found:
        counts = f"{record['images']} images of {record['patients']} patients, {record['positives']} of the images with it"
        lines += ["", f"{record['finding']}, {record['group']}: {counts}"]
        if record["too_few"]:
            lines.append(f"Too few: {record['too_few']}")
        if "areas" in record:
            lines += _lines(record)
        if "who" in record:
            lines.append(line(record["who"]))
        if "heat_map" in record:
            lines += pointed(record["heat_map"])
    return "\n".join(lines)


def pointed(found: Mapping[str, Any]) -> list[str]:
    """Return what is told of heat maps, of a record `found` of them."""
    if not found["images"]:
        return [f"heat map: {found['reason']}, so that nobody knows how often it points to the finding"]
    hit, random = (_interval(found[name]) for name in ("hit", "randomised"))
    many = f"{found['images']} patient{'' if found['images'] == 1 else 's'}"
    alike = "none" if found["correlation"] is None else f"{found['correlation']:.2f}"
    return [
        f"heat map, greatest in a box, of {many}: {hit}; of random weights {random}; by chance {found['chance']:.3f}",
        f"heat maps of the detector and of random weights: rank correlation {alike}",
    ]


def rounded(found: Estimate) -> dict[str, float | None]:
    """Return value, low and high for print, the ends outward."""
    return dict(zip(("value", "low", "high"), outward(found, DECIMALS), strict=True))


def _too_few(design: Design) -> str:
    """Return why no interval can be told of `design`, or ""."""
    counts = [len(set(design.patients[of])) for of in (design.labels, ~design.labels)]
    if min(counts) >= ENOUGH:
        return ""
    return f"{counts[0]} patients with it and {counts[1]} without, of {ENOUGH} each that an interval takes"


def _probabilities(logits: Floats) -> Floats:
    found: Floats = 1 / (1 + np.exp(-logits))
    return found


def _by_view(scores: Mapping[View, Floats], measure: Any) -> list[dict[str, Any]]:
    return [{"view": view, "degradation": name, **measure(logits)} for (view, name), logits in scores.items()]


def _differences(scores: Mapping[View, Floats], design: Design) -> list[dict[str, Any]]:
    """Return a record for each of PAIRS and degradation: the difference of their areas, and the least that would be found."""
    compared = []
    for name in dict.fromkeys(degradation for _, degradation in scores if degradation):
        for better, worse in PAIRS:
            both = scores[better, name], scores[worse, "" if worse == ORIGINAL else name]
            found = {**rounded(difference(*both, design)), "detectable": detectable(*both, design)}
            compared.append({"pair": f"{better}-{worse}", "degradation": name, **found})
    return compared


def _interval(of: Mapping[str, Any], style: str = ".3f") -> str:
    ends = "none" if of["low"] is None else f"{of['low']:{style}}, {of['high']:{style}}"
    return f"{of['value']:{style}} [{ends}]"


def _lines(record: Mapping[str, Any]) -> list[str]:
    lines = [f"{'AUC':22} {'all images':22} {'sharpness alike':22} sensitivity, specificity"]
    of_pairs, told = (
        {(each["view"], each["degradation"]): each for each in record[name]} for name in ("of_pairs", "operating")
    )
    for each in record["areas"]:
        place = each["view"], each["degradation"]
        seen = f"{each['degradation']} {methods.VIEWS[each['view']].title}".strip()
        beside = _interval(of_pairs[place]) if place in of_pairs else "no pairs"
        at = f"{told[place]['sensitivity']:.2f}, {told[place]['specificity']:.2f}"
        lines.append(f"{seen:22} {_interval(each):22} {beside:22} {at}")
    sets = record["abstaining"]
    covered = f"hold {sets['covered_with']:.0%} of those with it and {sets['covered_without']:.0%} of those without"
    lines.append(f"sets of {COVERAGE:.0%}: {covered}; say nothing of {sets['not_known']:.0%}; unusual: {sets['unusual']:.0%}")
    told_of = record["answered"]
    there = [each for each in told_of["ratios"] if each["value"] is not None]
    lines.append(f"of the {told_of['images']} that are not unusual, {told_of['positives']} of them with it:")
    lines += [f"{'told ' + each['answer']:22} likelihood ratio {_interval(each, '.2f')}" for each in there]
    lines += [f"{'by ' + each['measure'].replace('_', ' '):22} {_interval(each)}" for each in record["shortcuts"]]
    if record["differences"]:
        lines.append(f"Differences in AUC ({record['pairs']} pairs are alike in sharpness):")
    same = [each for each in record["differences"] if each["detectable"] is None and not each["value"]]
    for each in (each for each in record["differences"] if each not in same):
        first, second = (methods.VIEWS[name].title for name in each["pair"].split("-"))
        least = each["detectable"]
        known = f"nothing is detectable with {POWER:.0%} power" if least is None else f"detectable: {least:.3f}"
        seen = f"{each['degradation']} {first} - {second}"
        lines.append(f"{seen:28} {_interval(each, '+.3f')}, {known}")
    return [*lines, *([f"{len(same)} further pairs place all images alike: their difference is 0."] if same else [])]
