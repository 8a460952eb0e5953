"""The tables of the trial, from the CSV that the stage trial wrote; `python -m tools.tables` writes them into the pages.

A marker has the name of a table, that of a CSV, and for some tables an observer or a view, such as
`<!-- table trial_gains trial hotelling -->`.
"""

from itertools import product
from pathlib import Path

from cxr.superres.methods import BICUBIC, LEAD
from cxr.trial.analysis import (
    ADULTS,
    ALL,
    AREA,
    CHILDREN,
    DETECTABLE,
    DIFFERENCE,
    HOTELLING,
    PRIMARY,
    RECOVERED,
    WORTH_DOSE,
    WORTH_PIXEL,
)
from cxr.trial.picture import NAMES
from cxr.trial.protocol import FINDINGS
from cxr.trial.report import GATE, MARGIN, SPECTRUM, verdict
from cxr.trial.views import LESS, VIEWS
from tools.kept import RESULTS
from tools.markdown import Tables, table
from tools.results import UNMEASURED, Cells, Lines, Rows, area, from_file, interval

WRITTEN_BY = "dvc repro trial/dvc.yaml, and a copy of plots/trial/trial.csv to {path},"
TITLES = {"original": "original", **NAMES}


def trial_gates(rows: Rows) -> Lines:
    """Return the gates, whether each holds, and why."""
    told = [row for row in rows if row["what"] == GATE]
    return table(("gate", "holds", "found"), [[row["view"], "yes" if float(row["value"]) else "no", row["of"]] for row in told])


def trial_areas(rows: Rows, observer: str) -> Lines:
    """Return the area under the ROC curve by view and finding, at the usual setting, by `observer`."""
    at = {(row["view"], row["finding"]): row for row in _usual(rows, AREA, observer)}
    lines = [[TITLES[view], *(area(at.get((view, finding))) for finding in FINDINGS)] for view in VIEWS]
    return table(("AUC", *FINDINGS), lines)


def trial_gains(rows: Rows, observer: str, other: str = BICUBIC) -> Lines:
    """Return what is gained over the view `other` by view and finding, at the usual setting, by `observer`.

    Before it, where that is bicubic interpolation, the least that would be found.
    """
    least = {row["finding"]: row for row in _usual(rows, DETECTABLE, observer) if (row["view"], row["of"]) == (LEAD, other)}
    at = {(row["view"], row["finding"]): row for row in _usual(rows, DIFFERENCE, observer) if row["of"] == other}
    first = [f"{float(least[name]['value']):.3f}" if name in least else UNMEASURED for name in FINDINGS]
    lines = [[f"least found four times in five, {TITLES[LEAD]}", *first]] if least else []
    there = [view for view in VIEWS if any((view, name) in at for name in FINDINGS)]
    margin = next((float(row["value"]) for row in rows if row["what"] == MARGIN), 0.0)
    for view in there:
        found = [at.get((view, name)) for name in FINDINGS]
        lines.append(
            [TITLES[view], *(f"{interval(row, 'value', 3)} {verdict(row, margin)}" if row else UNMEASURED for row in found)]
        )
    return table((f"AUC, less that of {TITLES[other]}", *FINDINGS), lines)


def trial_settings(rows: Rows, view: str) -> Lines:
    """Return what `view` gains over bicubic interpolation by setting and finding, by Hotelling's observer."""
    found = [row for row in _of(rows, DIFFERENCE, HOTELLING) if (row["view"], row["of"]) == (view, BICUBIC)]
    at = {(_setting(row), row["finding"]): row for row in found}
    settings = dict.fromkeys(map(_setting, found))
    lines = [[each, *(interval(at.get((each, name)), "value", 3) for name in FINDINGS)] for each in settings]
    return table((f"{TITLES[view]}, less bicubic", *FINDINGS), lines)


def trial_people(rows: Rows, view: str) -> Lines:
    """Return what `view` gains over bicubic interpolation at the usual setting in children and in adults."""
    lines = []
    for people in (CHILDREN, ADULTS):
        found = _usual(rows, DIFFERENCE, HOTELLING, people)
        at = {row["finding"]: row for row in found if (row["view"], row["of"]) == (view, BICUBIC)}
        lines.append([people, *(interval(at.get(name), "value", 3) for name in FINDINGS)])
    return table((f"{TITLES[view]}, less bicubic", *FINDINGS), lines)


def trial_primary(rows: Rows) -> Lines:
    """Return p of the primary comparison by finding, adjusted by Holm's method."""
    at = {row["finding"]: row for row in rows if row["what"] == PRIMARY}
    return table(
        ("p, adjusted", *FINDINGS), [[TITLES[LEAD], *(f"{float(at[n]['p']):.2g}" if n in at else UNMEASURED for n in FINDINGS)]]
    )


def trial_worth(rows: Rows) -> Lines:
    """Return by finding and view the share recovered, and at which dose and pixel bicubic interpolation does as well."""
    lines = []
    for finding, view in product(FINDINGS, LESS):
        cells = []
        for what in (RECOVERED, WORTH_DOSE, WORTH_PIXEL):
            row = next((row for row in _usual(rows, what, HOTELLING) if (row["finding"], row["view"]) == (finding, view)), None)
            cells.append(_told(row))
        lines.append([finding, TITLES[view], *cells])
    return table(("finding", "view", "share recovered", "worth a dose of", "worth a pixel of, mm"), lines)


def trial_recovered(rows: Rows, observer: str) -> Lines:
    """Return by view and finding the share that is won back of what bicubic interpolation loses, by `observer`."""
    at = {(row["view"], row["finding"]): row for row in _usual(rows, RECOVERED, observer)}
    lines = [[TITLES[view], *(_told(at.get((view, finding))) for finding in FINDINGS)] for view in LESS]
    return table(("share won back", *FINDINGS), lines)


def trial_spectrum(rows: Rows) -> Lines:
    """Return by people by how many decibels their spectrum differs from that of radiographs, at least and at most."""
    lines = []
    for people in (ADULTS, CHILDREN):
        found = [float(row["value"]) for row in rows if row["what"] == SPECTRUM and row["people"] == people]
        lines.append([people, f"{min(found):+.1f}", f"{max(found):+.1f}"])
    return table(("phantoms, less radiographs, dB", "least", "most"), lines)


def tables(folder: Path = RESULTS) -> Tables:
    """Return all tables of the trial, from the CSVs in `folder`."""
    makers = (
        trial_gates,
        trial_areas,
        trial_gains,
        trial_settings,
        trial_people,
        trial_primary,
        trial_worth,
        trial_recovered,
        trial_spectrum,
    )
    return {each.__name__: from_file(each, WRITTEN_BY, folder) for each in makers}


def _of(rows: Rows, what: str, observer: str, people: str = ALL) -> list[Cells]:
    return [row for row in rows if (row["what"], row["observer"], row["people"]) == (what, observer, people)]


def _usual(rows: Rows, what: str, observer: str, people: str = ALL) -> list[Cells]:
    """Return the rows of the usual setting, which comes first."""
    found = _of(rows, what, observer, people)
    return [row for row in found if _setting(row) == _setting(found[0])]


def _setting(row: Cells) -> str:
    return f"dose {float(row['dose']):g}, {float(row['pixel']):g} mm"


def _told(row: Cells | None) -> str:
    """Return a value with its interval, or what prevents one."""
    if row is None or not row["value"]:
        return (row and row["of"]) or UNMEASURED
    ends = f" [{float(row['low']):.2f}, {float(row['high']):.2f}]" if row["low"] else ""
    return f"{float(row['value']):.2f}{ends}"
