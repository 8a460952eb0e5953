"""What the trial found, for files and for people."""

from collections.abc import Mapping, Sequence
from typing import Any

from cxr.measures.intervals import Floats
from cxr.superres.methods import BICUBIC, LEAD, ORIGINAL
from cxr.trial.analysis import ADULTS, ALL, AREA, CHILDREN, COLUMNS, DETECTABLE, DIFFERENCE, HOTELLING, PRIMARY, Gate, Row
from cxr.trial.picture import NAMES
from cxr.trial.protocol import FINDINGS, Protocol, Setting
from cxr.trial.spectrum import Reference
from cxr.trial.views import AS_USED, LESS

SPECTRUM, GATE, MARGIN = "spectrum", "gate", "margin"


def spectrum_rows(apart: Mapping[bool, Floats], protocol: Protocol, reference: Reference) -> list[Row]:
    """Return a row for each band, by COLUMNS: by how many decibels phantoms differ from radiographs; `of` is its middle."""
    middles = (reference.edges[1:] + reference.edges[:-1]) / 2
    made = []
    for grown, each in apart.items():
        for middle, value in zip(middles, each, strict=True):
            named = SPECTRUM, "", "", ADULTS if grown else CHILDREN, protocol.usual.dose, reference.pixel, ORIGINAL
            told = f"{middle:.3f} per mm", round(float(value), 2), None, None, None
            made.append(dict(zip(COLUMNS, (*named, *told), strict=True)))
    return made


def gate_rows(held: Sequence[Gate]) -> list[Row]:
    """Return a row for each gate, by COLUMNS: 1 where it holds, and why in `of`."""
    named = dict.fromkeys(COLUMNS, "") | dict.fromkeys(("low", "high", "p"))
    return [{**named, "what": GATE, "view": gate.name, "of": gate.told, "value": int(gate.held)} for gate in held]


def verdict(row: Mapping[str, Any], margin: float) -> str:
    """Return what the interval of a difference says: better, worse, no worse by more than `margin`, or nothing."""
    low, high = (None if row[end] in ("", None) else float(row[end]) for end in ("low", "high"))
    if low is None or high is None:
        return "not told"
    if low > 0:
        return "better"
    within = low > -margin
    if high < 0:
        return "worse, within the margin" if within else "worse"
    return "no worse" if within else "not told"


def every_row(
    found: Sequence[Row], held: Sequence[Gate], apart: Mapping[bool, Floats], protocol: Protocol, reference: Reference
) -> list[Row]:
    """Return all that is kept, by COLUMNS: what was `found`, the margin, the gates, and the spectrum."""
    margin = {**dict.fromkeys(COLUMNS, ""), "what": MARGIN, "value": protocol.margin, "low": None, "high": None, "p": None}
    return [*found, margin, *gate_rows(held), *spectrum_rows(apart, protocol, reference)]


def for_metrics(found: Sequence[Row], held: Sequence[Gate], protocol: Protocol) -> dict[str, Any]:
    """Return what metrics/trial.json holds: the gates, and what LEAD gains over bicubic interpolation at the usual setting."""
    gains = {
        view: {
            row["finding"]: row["value"]
            for row in _usual(found, protocol, HOTELLING, DIFFERENCE, BICUBIC)
            if row["view"] == view
        }
        for view in (LEAD, AS_USED)
    }
    p = {row["finding"]: row["p"] for row in found if row["what"] == PRIMARY}
    return {"gates": {gate.name: {"held": gate.held, "told": gate.told} for gate in held}, "gain": gains, "primary_p": p}


def table(found: Sequence[Row], held: Sequence[Gate], protocol: Protocol) -> str:
    """Return the usual setting as lines of text: the least difference that would be found, first."""
    lines = [f"{protocol.pairs:,} pairs a cell, of {protocol.people} phantoms, x{protocol.scale}; {protocol.usual.name}."]
    lines.append(f"Differences in AUC from bicubic interpolation, margin {protocol.margin:g}; in brackets: 95% interval.")
    told = ", ".join(f"{row['finding']} {row['p']:.2g}" for row in found if row["what"] == PRIMARY)
    lines.append(f"{NAMES[LEAD]} against bicubic interpolation, by {HOTELLING}, p by Holm's method: {told or 'none'}.")
    lines += [f"{'held' if gate.held else 'NOT HELD'}: {gate.name}: {gate.told}" for gate in held]
    for observer in dict.fromkeys(row["observer"] for row in found):
        least = _usual(found, protocol, observer, DETECTABLE, BICUBIC)
        told = ", ".join(f"{row['finding']} {row['value']:.3f}" for row in least if row["view"] == LEAD)
        lines += ["", f"By {observer}. Would be found four times in five, with {NAMES[LEAD]}: {told or 'nothing known'}."]
        differences = _usual(found, protocol, observer, DIFFERENCE, BICUBIC)
        areas = _usual(found, protocol, observer, AREA, "")
        for finding in FINDINGS:
            known = {row["view"]: row["value"] for row in areas if row["finding"] == finding}
            lines.append(f"{finding}: original {known[ORIGINAL]:.3f}, bicubic {known[BICUBIC]:.3f}")
            for view in LESS:
                row = next(row for row in differences if (row["finding"], row["view"]) == (finding, view))
                ends = "none" if row["low"] is None else f"{row['low']:+.3f}, {row['high']:+.3f}"
                lines.append(f"  {NAMES[view]:18} {row['value']:+.3f} [{ends}] {verdict(row, protocol.margin)}")
    return "\n".join(lines)


def _usual(found: Sequence[Row], protocol: Protocol, observer: str, what: str, of: str) -> list[Row]:
    return [
        row
        for row in found
        if (row["what"], row["observer"], row["people"], row["of"]) == (what, observer, ALL, of)
        and Setting(row["dose"], row["pixel"]) == protocol.usual
    ]
