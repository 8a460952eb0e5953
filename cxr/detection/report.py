"""What a classifier's scores on the test images say of each way in which they were seen."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr.measures.bootstrap import Estimate, Floats, Truths, estimate, mean, resampled
from cxr.measures.discrimination import ENOUGH_NEGATIVES, POWER, auc, calibration_error, sensitivity_at
from cxr.superres import methods
from cxr.superres.methods import BICUBIC, LEAD, LOW, NAMES, ORIGINAL, RIVALS

DEGRADED_VIEWS = (LOW, *NAMES)
PAIRS = ((BICUBIC, ORIGINAL), (LEAD, ORIGINAL), *RIVALS)
SPECIFICITY = 0.95
DECIMALS = 3

View = tuple[str, str]
"""How an image is seen, one of VIEWS or ORIGINAL, and the name of its degradation, or an empty text."""


def findings(
    scores: Mapping[View, Floats],
    shortcuts: Mapping[str, Floats],
    labels: Truths,
    patients: npt.NDArray[np.str_],
    matched_rows: npt.NDArray[np.intp],
) -> dict[str, Any]:
    """Return what the scores say.

    `scores` are logits (N,) by view, `shortcuts` measures (N,) that know nothing of disease, `labels` true for a disease, and
    `matched_rows` the cases that are matched in sharpness. Intervals are 95%, bootstrapped by patient.
    """
    weights = resampled(labels, patients)
    records, compared = _measured(scores, labels, weights)
    few = resampled(labels[matched_rows], patients[matched_rows]) if len(matched_rows) else np.zeros((0, 0), np.intp)
    of_matched = {view: found[matched_rows] for view, found in scores.items()}
    matched_records, matched_compared = _measured(of_matched, labels[matched_rows], few) if len(matched_rows) else ([], [])
    negatives = int((~labels).sum())
    enough = negatives >= ENOUGH_NEGATIVES
    return {
        "images": len(labels),
        "patients": len(set(patients)),
        "negatives": negatives,
        **{metric: _by_degradation(records, metric) for metric in ("auc", "accuracy", "brier", "calibration_error")},
        "sensitivity_at_95_specificity": _by_degradation(records, "sensitivity") if enough else "too few",
        "shortcuts": {name: round(float(auc(measure, labels)[0]), DECIMALS) for name, measure in shortcuts.items()},
        "matched": {"pairs": len(matched_rows) // 2, "auc": _by_degradation(matched_records, "auc")},
        "intervals": records,
        "differences": compared,
        "shortcut_intervals": [
            {"measure": name, **_rounded(estimate(auc(measure, labels)[0], auc(measure, labels, weights)))}
            for name, measure in shortcuts.items()
        ],
        "matched_intervals": [record for record in matched_records if record["metric"] == "auc"],
        "matched_differences": matched_compared,
    }


def for_metrics(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that metrics/diagnose.json holds of `found`.

    What `dvc metrics diff` shows are areas under the ROC curve, of the originals and, at the least scale, of LEAD. The rest is
    in a list, which it leaves out: hundreds of lines would hide the few that people compare.
    """
    least = min(name for name in found["auc"] if name != ORIGINAL)
    shown = {ORIGINAL: found["auc"][ORIGINAL], f"{LEAD}_{least}": found["auc"][least][LEAD]}
    return {"auc": shown, "measured": [found]}


def _measured(
    scores: Mapping[View, Floats], labels: Truths, weights: npt.NDArray[np.intp]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return a record for each view and metric, and one for each of PAIRS and degradation: the difference of their AUC."""
    records: list[dict[str, Any]] = []
    areas: dict[View, tuple[float, Floats]] = {}
    for view, logits in scores.items():
        probabilities = 1 / (1 + np.exp(-logits))
        areas[view] = float(auc(logits, labels)[0]), auc(logits, labels, weights)
        estimates = {
            "auc": estimate(*areas[view]),
            "accuracy": mean(((logits > 0) == labels).astype(float), weights),
            "brier": mean((probabilities - labels) ** 2, weights),
            "calibration_error": estimate(
                calibration_error(probabilities, labels)[0], calibration_error(probabilities, labels, weights)
            ),
        }
        if (~labels).sum() >= ENOUGH_NEGATIVES:
            estimates["sensitivity"] = _at_specificity(logits, labels, weights)
        seen = {"view": view[0], "degradation": view[1]}
        records += [{**seen, "metric": metric, **_rounded(value)} for metric, value in estimates.items()]
    compared = []
    for name in dict.fromkeys(degradation for _, degradation in scores if degradation):
        for better, worse in PAIRS:
            first, second = areas[better, name], areas[worse, "" if worse == ORIGINAL else name]
            samples = first[1] - second[1]
            difference = _rounded(estimate(first[0] - second[0], samples))
            # Where both put all pairs of patients in one order, no sample says how far apart they might be.
            detectable = round(POWER * float(np.nanstd(samples)), DECIMALS) if np.nanstd(samples) else None
            compared.append({"pair": f"{better}-{worse}", "degradation": name, **difference, "detectable": detectable})
    return records, compared


def _at_specificity(scores: Floats, labels: Truths, weights: npt.NDArray[np.intp]) -> Estimate:
    """Return the sensitivity at SPECIFICITY with its interval."""
    samples = []
    for counts in weights:
        cases = np.repeat(np.arange(len(labels)), counts)
        samples.append(sensitivity_at(SPECIFICITY, scores[cases], labels[cases]))
    return estimate(sensitivity_at(SPECIFICITY, scores, labels), np.array(samples))


def _by_degradation(records: list[dict[str, Any]], metric: str) -> dict[str, Any]:
    """Return the values of `metric` as {original: value, degradation: {view: value}}."""
    found: dict[str, Any] = {}
    for record in records:
        if record["metric"] == metric:
            inner = found.setdefault(record["degradation"], {}) if record["degradation"] else found
            inner[record["view"]] = record["value"]
    return found


def _rounded(found: Estimate) -> dict[str, float]:
    return {name: round(value, DECIMALS) for name, value in found._asdict().items()}


def _of_neither(left_out: Mapping[str, int]) -> list[str]:
    """Return a line on the images of neither class, if there are any."""
    named = ", ".join(f"{count} {name}" for name, count in left_out.items())
    return [f"Left out, since they are of neither class: {named}."] if left_out else []


def table(found: Mapping[str, Any]) -> str:
    """Return the findings as lines of text."""

    def interval(record: Mapping[str, Any], style: str = ".3f") -> str:
        return f"{record['value']:{style}} [{record['low']:{style}}, {record['high']:{style}}]"

    areas = [record for record in found["intervals"] if record["metric"] == "auc"]
    lines = [
        f"Test split: {found['images']} images of {found['patients']} patients, {found['negatives']} of the images NORMAL.",
        "NORMAL against PNEUMONIA, by a classifier of the original images; it sees their central squares.",
        *_of_neither(found["left_out"]),
        "In brackets: 95% interval, bootstrapped by patient. For research, not for diagnosis.",
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
        known = "no pair of images in another order" if least is None else f"detectable: {least:.3f}"
        lines.append(f"{seen:28} {interval(record, '+.3f')}, {known}")
    return "\n".join(lines)
