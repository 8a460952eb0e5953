"""What a classifier's scores on the test images say of each way in which they were seen."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr.measures.areas import POWER, Design, area, detectable, difference
from cxr.measures.discrimination import ENOUGH_NEGATIVES, calibration_error, sensitivity_at
from cxr.measures.intervals import Estimate, Floats, Truths, outward
from cxr.superres import methods
from cxr.superres.methods import BICUBIC, LEAD, LOW, NAMES, ORIGINAL, RIVALS

DEGRADED_VIEWS = (LOW, *NAMES)
PAIRS = ((BICUBIC, ORIGINAL), (LEAD, ORIGINAL), *RIVALS)
SPECIFICITY = 0.95
DECIMALS = 3

MEASURES: Mapping[str, Callable[[Floats, Truths], float]] = {
    "accuracy": lambda logits, labels: float(((logits > 0) == labels).mean()),
    "brier": lambda logits, labels: float(((_probabilities(logits) - labels) ** 2).mean()),
    "calibration_error": lambda logits, labels: calibration_error(_probabilities(logits), labels),
}
"""What is said of logits for labels besides areas, without an interval: none is known to cover for so few cases."""

View = tuple[str, str]
"""How an image is seen, one of VIEWS or ORIGINAL, and the name of its degradation, or an empty text."""


def _probabilities(logits: Floats) -> Floats:
    found: Floats = 1 / (1 + np.exp(-logits))
    return found


def findings(
    scores: Mapping[View, Floats],
    shortcuts: Mapping[str, Floats],
    design: Design,
    matched_rows: npt.NDArray[np.intp],
) -> dict[str, Any]:
    """Return what the scores say of the cases of `design`.

    `scores` are logits (N,) by view, `shortcuts` measures (N,) that know nothing of disease, and `matched_rows` the cases that
    are matched in sharpness. Areas have intervals, by `area` and `difference`; where there is none, low and high are None.
    """
    labels, patients = design
    negatives = int((~labels).sum())
    areas = _areas(scores, design)
    matched = Design(labels[matched_rows], patients[matched_rows])
    of_matched = {view: found[matched_rows] for view, found in scores.items()} if len(matched_rows) else {}
    matched_areas = _areas(of_matched, matched)
    return {
        "images": len(labels),
        "patients": len(set(patients)),
        "negatives": negatives,
        "auc": _by_degradation(areas),
        **{name: _by_degradation(_measured(measure, scores, labels)) for name, measure in MEASURES.items()},
        "sensitivity_at_95_specificity": (
            _by_degradation(_measured(partial(sensitivity_at, SPECIFICITY), scores, labels))
            if negatives >= ENOUGH_NEGATIVES
            else "too few"
        ),
        "shortcuts": {name: round(area(measure, design).value, DECIMALS) for name, measure in shortcuts.items()},
        "matched": {"pairs": len(matched_rows) // 2, "auc": _by_degradation(matched_areas)},
        "intervals": areas,
        "differences": _differences(scores, design),
        "shortcut_intervals": [{"measure": name, **_rounded(area(measure, design))} for name, measure in shortcuts.items()],
        "matched_intervals": matched_areas,
        "matched_differences": _differences(of_matched, matched),
    }


def for_metrics(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that metrics/diagnose.json holds of `found`.

    What `dvc metrics diff` shows are areas under the ROC curve, of the originals and, at the least scale, of LEAD. The rest is
    in a list, which it leaves out: hundreds of lines would hide the few that people compare.
    """
    least = min(name for name in found["auc"] if name != ORIGINAL)
    shown = {ORIGINAL: found["auc"][ORIGINAL], f"{LEAD}_{least}": found["auc"][least][LEAD]}
    return {"auc": shown, "measured": [found]}


def _areas(scores: Mapping[View, Floats], design: Design) -> list[dict[str, Any]]:
    """Return a record for each view: the area under its ROC curve."""
    return [
        {"view": view, "degradation": degradation, "metric": "auc", **_rounded(area(logits, design))}
        for (view, degradation), logits in scores.items()
    ]


def _measured(
    measure: Callable[[Floats, Truths], float], scores: Mapping[View, Floats], labels: Truths
) -> list[dict[str, Any]]:
    """Return a record for each view: `measure` of its logits."""
    return [
        {"view": view, "degradation": degradation, "value": round(measure(logits, labels), DECIMALS)}
        for (view, degradation), logits in scores.items()
    ]


def _differences(scores: Mapping[View, Floats], design: Design) -> list[dict[str, Any]]:
    """Return a record for each of PAIRS and degradation: the difference of their areas, and the least that would be found."""
    compared = []
    for name in dict.fromkeys(degradation for _, degradation in scores if degradation):
        for better, worse in PAIRS:
            both = scores[better, name], scores[worse, "" if worse == ORIGINAL else name]
            found = {**_rounded(difference(*both, design)), "detectable": detectable(*both, design)}
            compared.append({"pair": f"{better}-{worse}", "degradation": name, **found})
    return compared


def _by_degradation(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the values of `records` as {original: value, degradation: {view: value}}."""
    found: dict[str, Any] = {}
    for record in records:
        inner = found.setdefault(record["degradation"], {}) if record["degradation"] else found
        inner[record["view"]] = record["value"]
    return found


def _rounded(found: Estimate) -> dict[str, float | None]:
    return dict(zip(("value", "low", "high"), outward(found, DECIMALS), strict=True))


def _of_neither(left_out: Mapping[str, int]) -> list[str]:
    """Return a line on the images of neither class, if there are any."""
    named = ", ".join(f"{count} {name}" for name, count in left_out.items())
    return [f"Left out, since they are of neither class: {named}."] if left_out else []


def table(found: Mapping[str, Any]) -> str:
    """Return the findings as lines of text."""

    def interval(record: Mapping[str, Any], style: str = ".3f") -> str:
        found = "none" if record["low"] is None else f"{record['low']:{style}}, {record['high']:{style}}"
        return f"{record['value']:{style}} [{found}]"

    areas = [record for record in found["intervals"] if record["metric"] == "auc"]
    lines = [
        f"Test split: {found['images']} images of {found['patients']} patients, {found['negatives']} of the images NORMAL.",
        "NORMAL against PNEUMONIA, by a classifier of the original images; it sees their central squares.",
        *_of_neither(found["left_out"]),
        "In brackets: 95% interval, by patient; none where it is not known to cover. For research, not for diagnosis.",
        "",
        "AUC, all images                  sharpness alike in both classes",
    ]
    matched_records = {(record["view"], record["degradation"]): record for record in found["matched_intervals"]}
    for record in areas:
        seen = f"{record['degradation']} {methods.VIEWS[record['view']].title}".strip()
        beside = matched_records.get((record["view"], record["degradation"]))
        lines.append(f"{seen:22} {interval(record)}   {interval(beside) if beside else 'no pairs'}")
    lines += [f"{'by ' + r['measure'].replace('_', ' ') + ' alone':22} {interval(r)}" for r in found["shortcut_intervals"]]
    lines += ["", f"Differences in AUC ({found['matched']['pairs']} pairs are alike in sharpness):"]
    for record in found["differences"]:
        first, second = (methods.VIEWS[name].title for name in record["pair"].split("-"))
        seen = f"{record['degradation']} {first} - {second}"
        least = record["detectable"]
        known = f"nothing is detectable with {POWER:.0%} power" if least is None else f"detectable: {least:.3f}"
        lines.append(f"{seen:28} {interval(record, '+.3f')}, {known}")
    return "\n".join(lines)
