"""Whether a detector of tuberculosis is as good as the World Health Organization asks of a test that sorts patients."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from cxr.detection.training import DECIMALS
from cxr.measures.areas import Design
from cxr.measures.intervals import Estimate, Truths, outward
from cxr.measures.ratios import share

TUBERCULOSIS = "TUBERCULOSIS"
"""The finding that there is a target for."""
TARGETS = {"sensitivity": 0.9, "specificity": 0.7}
"""What a test for triage needs: WHO, "High-priority target product profiles for new tuberculosis diagnostics", 2014."""
MET, MISSED, OPEN = "met", "not met", "cannot be told"


def target(yes: Truths, design: Design) -> dict[str, Any]:
    """Return how many of the cases (N,) a detector that says `yes` of some tells, by TARGETS, and whether that is enough.

    Of the first image of each patient in each class, so that cases are independent. It is met where the lower ends of both
    intervals are above the targets, and not where an upper end of one is below. Of an empty class the value is None.
    """
    found = {}
    for name, of, right in zip(TARGETS, (design.labels, ~design.labels), (yes, ~yes), strict=True):
        _, first = np.unique(design.patients[of], return_index=True)
        found[name] = share(right[of][first]) if len(first) else None
    told = {name: _rounded(each) for name, each in found.items()}
    return {**told, "target": _judged(found)}


def line(found: Mapping[str, Any]) -> str:
    """Return a record of `target` as a line of text."""
    wanted = " and ".join(f"{least:.0%} {name}" for name, least in TARGETS.items())
    told = ", ".join(f"{name} {_ends(found[name])}" for name in TARGETS)
    return f"WHO's target: {wanted} (WHO, target product profile for triage 2014); here {told}: {found['target']}"


def _judged(found: Mapping[str, Estimate | None]) -> str:
    if any(each and each.high is not None and each.high < TARGETS[name] for name, each in found.items()):
        return MISSED
    if all(each and each.low is not None and each.low > TARGETS[name] for name, each in found.items()):
        return MET
    return OPEN


def _rounded(found: Estimate | None) -> dict[str, float | None]:
    return dict(zip(("value", "low", "high"), outward(found, DECIMALS) if found else (None, None, None), strict=True))


def _ends(told: Mapping[str, float | None]) -> str:
    if told["value"] is None:
        return "of nobody"
    ends = "none" if told["low"] is None else f"{told['low']:.3f}, {told['high']:.3f}"
    return f"{told['value']:.3f} [{ends}]"
