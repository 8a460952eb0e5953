"""Measure how often a detector's 90% sets hold the truth: `python -m benchmarks.sets WORKSPACE -o FILE.csv [--divisions 200]`.

Validation and test radiographs of WORKSPACE, in which train_detector has run, are divided by patient at random: sets are made
of one half, and looked at on the other; a row has the mean over all divisions of which both halves have both classes. Rows of
`test` and `external` have what the sets that go with the detector hold of its test radiographs and of another source's.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from cxr.dataset import packed
from cxr.dataset.packed import Integers
from cxr.detection import detector
from cxr.detection.abstaining import Sets, sets
from cxr.detection.frames import levels
from cxr.detection.labels import labels
from cxr.foundation.errors import UserError, one_line_errors
from cxr.foundation.files import write_table
from cxr.measures.intervals import Floats, Truths
from stages.train_detector import MODEL, PIXELS, SPLIT, TABLE

DECIMALS = 3


def held(found: Sets, logits: Floats, shown: Truths) -> list[float]:
    """Return the shares of logits (N,) whose set holds the truth: of all, of those with the finding and of those without."""
    holds = found.holds(logits)
    truth = np.where(shown, holds[:, 1], holds[:, 0])
    single = holds[:, 0] != holds[:, 1]
    return [float(each.mean()) if len(each) else np.nan for each in (truth, truth[shown], truth[~shown], single)]


def divided(logits: Floats, shown: Truths, patients: Integers, divisions: int) -> list[float]:
    """Return the means of `held` over so many divisions of the cases (N,), by the numbers of their `patients`, into halves.

    Nothing where no division has both classes in both halves.
    """
    source = np.random.default_rng(0)
    found = []
    for _ in range(divisions):
        first = source.permutation(patients.max() + 1)[: (patients.max() + 1) // 2]
        one = np.isin(patients, first)
        if all(shown[of].any() and not shown[of].all() for of in (one, ~one)):
            found.append(held(sets(logits[one], shown[one]), logits[~one], shown[~one]))
    return [float(mean) for mean in np.mean(found, axis=0)] if found else []


def measured(workspace: Path, divisions: int) -> list[dict[str, object]]:
    """Return a row for each finding and group. Raises UserError when there is no detector."""
    trained = detector.read(workspace / MODEL, torch.device("cpu"))
    if trained is None:
        raise UserError(f"{workspace / MODEL} holds no network, since no finding could be learnt")
    data = packed.load(*(workspace / name for name in (PIXELS, TABLE, SPLIT)))
    known = labels(data.table, trained.findings, bool(trained.description["settings"]["complete"]))
    inside, outside = np.concatenate([data.rows("val"), data.rows("test")]), data.rows("external")
    looked_at = tqdm(np.concatenate([inside, outside]), unit="image", disable=None)
    logits = {int(row): trained.looks(levels(data.images[row]))[0] for row in looked_at}
    rows: list[dict[str, object]] = []
    for number, finding in enumerate(trained.findings):
        for group, of in (("divided", inside), ("test", data.rows("test")), ("external", outside)):
            judged = known.rows(finding, of)
            if not len(judged):
                continue
            scores, shown = np.array([logits[int(row)][number] for row in judged]), known.of(finding)[judged]
            if group == "divided":
                patients = np.unique(data.table["patient"].to_numpy(str)[judged], return_inverse=True)[1]
                found = divided(scores, shown, patients, divisions)
            else:
                found = held(trained.sets[finding], scores, shown)
            if not found:
                continue
            shares = [None if np.isnan(each) else round(each, DECIMALS) for each in found]
            counts = {"finding": finding, "group": group, "images": len(judged), "positives": int(shown.sum())}
            rows.append({**counts, **dict(zip(("held", "held_with", "held_without", "single"), shares, strict=True))})
    return rows


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--divisions", type=int, default=200)
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    rows = measured(given.workspace, given.divisions)
    for each in rows:
        print(", ".join(f"{name} {value}" for name, value in each.items()))
    write_table(given.output, rows)


if __name__ == "__main__":
    with one_line_errors():
        main()
