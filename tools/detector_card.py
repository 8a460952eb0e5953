"""Write a card of a detector: `python -m tools.detector_card WORKSPACE [--study FILE.yaml] [-o CARD.md]`.

It answers the items of CLAIM (Tejani et al., "Checklist for Artificial Intelligence in Medical Imaging (CLAIM): 2024 Update",
Radiology: Artificial Intelligence 6(4), 2024) by number, and says of each that nobody knows or did it. WORKSPACE is one in
which the stages have run. FILE.yaml says what no file of it does, such as who labelled the radiographs, by the number of the
item: STUDY, of the detector whose figures the repository keeps, is an example. `python -m tools.cards` writes its card.
"""

import argparse
import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch

from cxr.dataset import packed
from cxr.detection import detector
from cxr.detection.evaluation.report import EXTERNAL, OF
from cxr.foundation.errors import UserError, one_line_errors
from cxr.foundation.files import whole, write_text
from cxr.foundation.params import load
from cxr.foundation.place import ROOT
from cxr.superres.methods import ORIGINAL
from stages.detect import METRICS, MODEL, PIXELS, SPLIT, TABLE
from tools import kept, results
from tools.claim import HEADINGS, NOT_SAID, SECTIONS

CARDS = ROOT / "docs/cards"
STUDY = CARDS / "detector.yaml"
"""What is known of the detector whose figures benchmarks/results/ keeps."""
TRAINING = ROOT / "pretrained/training_data.yaml"
REJECTED = Path("data/rejected.csv")
OLD = 16  # years from which a patient counts as grown up

Rows = Sequence[Mapping[str, str]]
Lines = list[str]


class Known(NamedTuple):
    """All that files say of a detector."""

    settings: Mapping[str, Any]
    """Of the sections `detection` and `train_detector`."""
    file: Lines
    """On its own file."""
    people: Mapping[str, Lines]
    """By part of the split, whose radiographs it is."""
    left_out: Lines
    rows: Rows
    """What the stage detect found, by `kept.DETECTION_COLUMNS`."""
    sets: Rows = ()
    """What benchmarks.sets found, if it ran."""
    unusual: Rows = ()
    """What benchmarks.unusual found, if it ran."""
    heat: Rows = ()
    """What benchmarks.heat_maps found, if it ran."""


def card(known: Known, said: Mapping[int, Lines]) -> str:
    """Return the card of a detector, of what is `known` of it and, by item, `said` beyond that, which comes first."""
    found = answers(known)
    lines = ["# Card of a detector", "", *_opening(), ""]
    for section, numbers in SECTIONS.items():
        lines += [f"## {section}", ""]
        for number in numbers:
            told = [*said.get(number, ()), *found.get(number, ())] or [NOT_SAID]
            lines += [f"**{number}. {HEADINGS[number]}.**", *told, ""]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"


def answers(known: Known) -> dict[int, Lines]:
    """Return by item what the files tell of a detector, and what is so of every detector of this project."""
    settings, names = known.settings, _findings(known.rows)
    network = settings["network"]
    fresh = network == "compact"
    return {
        1: [
            f"A detector of {' and '.join(names).lower()} on chest radiographs by a convolutional neural network, `{network}`."
        ],
        2: _summary(known),
        5: ["Retrospective: radiographs that were there already."],
        6: ["To tell which radiographs show a finding.", "And whether small, enlarged and enhanced copies show it as well."],
        9: [
            f"The network sees the central square, reduced to {settings['size']} rows and columns.",
            "Each square is brought to mean 0 and deviation 1.",
        ],
        10: ["No part of a radiograph is chosen by hand."],
        11: ["Patients of DICOM files are numbered; names of picture files stay as the source has them."],
        12: ["What nobody has said of a radiograph is masked in training, and left out of the figures.", _complete(settings)],
        19: [
            "Patients are drawn at random into training, validation and test, with the findings in proportion.",
        ],
        20: ["Patient: nobody is in two parts. The external radiographs are of another source."],
        21: ["None was set beforehand; `detect` says which differences the sizes could have shown, where views differ at all."],
        22: [f"`{network}`, in `cxr/detection/networks/`, with a linear layer for each finding."],
        23: ["The project's own code on torch; `environment.json` of a workspace names the versions.", *known.file],
        24: [
            "At random." if fresh else "What it learnt on photographs (ImageNet); the last layer at random.",
            f"The seed is {settings['seed']}.",
        ],
        25: _training(settings, fresh),
        26: ["The epoch with the least loss on the validation images.", _threshold(settings)],
        27: ["None; the weights are a running mean of those of one run."],
        28: [
            "Area under the ROC curve, sensitivity and specificity at the frozen threshold, likelihood ratios, Brier's score."
        ],
        29: ["95% intervals by patient, DeLong's on the logit for areas; none where simulation shows that none covers."],
        30: ["The same radiographs as each method of enhancement shows them; what is unlike those that it knows (39)."],
        31: _heat(known),
        32: ["On test radiographs of patients of its own sources, on which no weight, epoch or threshold was chosen (37)."],
        33: _external(known.rows),
        35: [*_counts(known.rows), *known.left_out],
        36: [f"- {part}: {line}" for part, told in known.people.items() for line in told],
        37: ["", *results.detection(known.rows), ""],
        38: _precision(known.rows),
        39: _failures(known),
        40: [*_limits(known.rows), "Labels, populations and devices beyond those named here were not tested."],
        41: [
            "For research. **It is not a medical device**, and not for the care of a patient.",
            "`cxr detect` tells no probability without `--prevalence`.",
            "Without `--even-so` it tells nothing where the detector was not shown to do better outside than shortcuts.",
        ],
        42: ["The project's own documentation: `docs/results.md`, `docs/guide.md` and `docs/log.md`."],
        43: ["The code is under the Apache License 2.0. No detector is bundled, and no radiograph is in the repository."],
    }


def of_results(study: Mapping[str, Any]) -> Known:
    """Return what benchmarks/results/ keeps of the detector of `study`."""
    names = "detection", "sets", "unusual", "heat_maps"
    found = [_read(kept.RESULTS / f"{study['results']}_{name}.csv") for name in names]
    people = {"training": list(load(TRAINING)[study["training"]]["told"])}
    return Known(study["settings"], ["Its file is not kept."], people, [], *found)


def of_workspace(workspace: Path) -> Known:
    """Return what the files of `workspace` say of its detector.

    Raises UserError where they are missing or damaged, or where no finding could be learnt.
    """
    trained = detector.read(workspace / MODEL, torch.device("cpu"))
    if trained is None:
        raise UserError(f"{workspace / MODEL} holds no network, since no finding could be learnt; there is nothing to describe")
    with whole(workspace / METRICS):
        metrics = json.loads((workspace / METRICS).read_text(encoding="utf-8"))
        if trained.digest not in [each.get("detector") for each in metrics.get("made_with", ())]:
            raise UserError(f"{workspace / METRICS} is of another detector; run dvc repro")
        rows = [_as_texts(row) for row in kept.detection_rows(metrics)]
    data = packed.load(workspace / PIXELS, workspace / TABLE, workspace / SPLIT)
    parts = {part: data.table[data.table["split"] == part] for part in ("train", "val", "test", "external")}
    with whole(workspace / REJECTED):
        kinds = Counter(row["kind"] for row in _read(workspace / REJECTED))
    left_out = [f"Left out: {', '.join(f'{count} {kind}' for kind, count in sorted(kinds.items())) or 'none'}."]
    described = trained.description
    made = f"torch {described['made_with']['torch']}, on {described['device']}"
    file = [
        f"The SHA-256 of its file begins with `{trained.digest}`; it was made with {made}, in epoch {described['best_epoch']}."
    ]
    if described.get("phantoms"):
        file.append("It learnt from phantoms alone, which this project draws, and from no patient.")
    settings = {**described["settings"], "size": trained.size}
    return Known(settings, file, {part: people(table) for part, table in parts.items() if len(table)}, left_out, rows)


def people(table: pd.DataFrame) -> Lines:
    """Return whose radiographs those in `table` are, a line each."""
    ages = [float(age) for age in table["age"].astype(str) if age.replace(".", "", 1).isdigit()]
    return [
        f"{len(table)} radiographs of {table['patient'].nunique()} patients, {_counted(table['findings'])}",
        f"views: {_counted(table['view'].astype(str))}; sex: {_counted(table['sex'].astype(str))}",
        f"age: {_ages(ages)}, not told of {len(table) - len(ages)}",
    ]


def said_in(path: Path) -> tuple[dict[int, Lines], dict[str, Any]]:
    """Return by item what the YAML file `path` says of a study, and all of it. Raises UserError for an item that is none."""
    study = load(path)
    items = study.get("items", {})
    for number, lines in items.items():
        if number not in HEADINGS or not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
            raise UserError(
                f"{path}: items has {number!r}; expected a number from 1 to {max(HEADINGS)}, and a list of sentences"
            )
    return items, study


def bundled() -> str:
    """Return the card of the detector whose figures benchmarks/results/ keeps."""
    said, study = said_in(STUDY)
    return card(of_results(study), said)


def main() -> None:
    """Print a card, or write it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--study", type=Path, help="what no file of the workspace says, by item")
    parser.add_argument("-o", "--output", type=Path, help="where the card goes, instead of the screen")
    given = parser.parse_args()
    text = card(of_workspace(given.workspace), said_in(given.study)[0] if given.study else {})
    if given.output:
        write_text(given.output, text)
    else:
        print(text, end="")


def _opening() -> Lines:
    return [
        "It answers CLAIM, the checklist for artificial intelligence in medical imaging, in its version of 2024, item by item.",
        "Figures are of files that stages and benchmarks wrote. In brackets: 95% intervals; none where none is known to cover.",
    ]


def _summary(known: Known) -> Lines:
    lines = []
    for finding, group, found in _by_group(known.rows):
        where = "another source" if group == EXTERNAL else "its own source"
        best = max((row for row in found if row["what"] == kept.SHORTCUT), key=lambda row: float(row["value"]), default=None)
        told = f"{finding} on {_count(found, 'images')} radiographs of {where}: AUC {_of(found, kept.AREA, ORIGINAL)}"
        beside = f"; {best['of'].replace('_', ' ')} alone {_shown(best)}" if best else ""
        lines.append(f"{told}{beside}.")
    return [*lines, _verdict(known.rows)]


def _verdict(rows: Rows) -> str:
    """Return whether the detector was shown to do better on another source than shortcuts."""
    outside = [found for _, group, found in _by_group(rows) if group == EXTERNAL]
    if not outside:
        return "It was not tested on another source."
    for found in outside:
        area = next((row for row in found if row["what"] == kept.AREA and row["of"] == ORIGINAL), None)
        best = max((float(row["value"]) for row in found if row["what"] == kept.SHORTCUT), default=1.0)
        if area is None or not area["low"] or float(area["low"]) <= best:
            return "**It is not shown to tell more on another source than the best shortcut, such as a tiny thumbnail.**"
    return "On another source the interval of its area lies above the areas of all shortcuts."


def _complete(settings: Mapping[str, Any]) -> str:
    if settings["complete"]:
        return "A radiograph with a label counts as without each finding that it does not name."
    return "A radiograph counts as without a finding only if it is labelled as normal."


def _training(settings: Mapping[str, Any], fresh: bool) -> Lines:
    frozen = "" if fresh else f", the last layer alone for the first {settings['frozen_epochs']}"
    return [
        f"{settings['epochs']} epochs{frozen}, in batches of {settings['batch']}.",
        f"AdamW, from a learning rate of {settings['learning_rate']:g} down along a cosine.",
        "Masked cross-entropy; images mirrored and moved at random.",
    ]


def _threshold(settings: Mapping[str, Any]) -> str:
    wanted = f"{settings['sensitivity']:.0%}"
    return (
        f"The threshold is the highest that finds {wanted} of those with the finding among the validation images; it is frozen."
    )


def _heat(known: Known) -> Lines:
    if known.heat:
        return ["Heat maps are Grad-CAM. How often each is greatest in a box:", "", *results.heat_maps(known.heat), ""]
    lines = []
    for finding, group, found in _by_group(known.rows):
        heat = {row["of"]: row for row in found if row["what"] == kept.HEAT}
        if float(heat["images"]["value"] if "images" in heat else 0):
            beside = f"of random weights {_shown(heat['randomised'])}, by chance {_shown(heat['chance'])}"
            lines.append(f"{finding}, {group}: heat maps are greatest in a box in {_shown(heat['hit'])}, {beside}.")
    return lines or [
        "Heat maps (Grad-CAM): how often they point to the finding was not measured, for want of boxes or of a run."
    ]


def _external(rows: Rows) -> Lines:
    there = any(group == EXTERNAL for _, group, _ in _by_group(rows))
    return ["On another source, with the threshold as it was frozen (37)."] if there else ["Not done."]


def _counts(rows: Rows) -> Lines:
    return [
        f"{finding}, {group}: {_count(found, 'images')} radiographs of {_count(found, 'patients')} patients, "
        f"{_count(found, 'positives')} of the radiographs with it."
        for finding, group, found in _by_group(rows)
    ]


def _precision(rows: Rows) -> Lines:
    lines = []
    for finding, group, found in _by_group(rows):
        told = [f"{row['of']} {_shown(row)}" for row in found if row["what"] == kept.RATIO and row["value"]]
        if told:
            lines.append(f"Likelihood ratios of {finding}, {group}: {'; '.join(told)}.")
        target = [f"{row['of']} {_shown(row)}" for row in found if row["what"] == kept.WHO and row["value"]]
        if target:
            lines.append(f"Against WHO's target for triage, {group}: {', '.join(target)}.")
    return lines or ["Likelihood ratios are not kept; sensitivity and specificity (37) have no intervals."]


def _failures(known: Known) -> Lines:
    lines = ["Nobody looked at the radiographs that it gets wrong, one by one."]
    for finding, group, found in _by_group(known.rows):
        told = {row["what"]: float(row["value"]) for row in found if row["of"] == ORIGINAL and row["what"] in kept.OPERATING}
        ill, images = int(_count(found, "positives")), int(_count(found, "images"))
        if told:
            missed, wrong = (round((1 - told[name]) * of) for name, of in zip(kept.OPERATING, (ill, images - ill), strict=True))
            lines.append(
                f"{finding}, {group}: of {ill} with it {missed} are missed; "
                f"of {images - ill} without it {wrong} are called ill."
            )
        held = {row["of"]: row for row in found if row["what"] == kept.SETS}
        if held.get("unusual", {}).get("value"):
            lines.append(f"{finding}, {group}: it refuses {_share(held['unusual'])} as unlike what it knows.")
    if known.sets:
        lines += ["", "What its 90% sets hold:", "", *results.sets(known.sets)]
    if known.unusual:
        lines += ["", "What it refuses:", "", *results.unusual(known.unusual), ""]
    return lines


def _limits(rows: Rows) -> Lines:
    smaller = []
    for finding, group, found in _by_group(rows):
        ill, images = int(_count(found, "positives")), int(_count(found, "images"))
        smaller.append(f"{finding}, {group}: the smaller class has {min(ill, images - ill)} radiographs.")
    return [*smaller, _verdict(rows)]


def _findings(rows: Rows) -> Lines:
    return list(dict.fromkeys(row["finding"] for row in rows))


def _by_group(rows: Rows) -> Iterable[tuple[str, str, Rows]]:
    for finding, group in dict.fromkeys((row["finding"], row["group"]) for row in rows if OF not in row["group"]):
        yield finding, group, [row for row in rows if (row["finding"], row["group"]) == (finding, group)]


def _count(found: Rows, what: str) -> str:
    return next((f"{float(row['value']):.0f}" for row in found if row["what"] == kept.COUNT and row["of"] == what), "0")


def _of(found: Rows, what: str, of: str) -> str:
    row = next((row for row in found if row["what"] == what and row["of"] == of), None)
    return _shown(row) if row else "not measured"


def _shown(row: Mapping[str, str]) -> str:
    ends = f" [{float(row['low']):.3f}, {float(row['high']):.3f}]" if row["low"] else ""
    return f"{float(row['value']):.3f}{ends}"


def _share(row: Mapping[str, str]) -> str:
    return f"{float(row['value']):.1%}"


def _as_texts(row: Mapping[str, Any]) -> dict[str, str]:
    return {name: "" if value is None else str(value) for name, value in row.items()}


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _counted(values: Iterable[str]) -> str:
    return ", ".join(f"{count} {value or 'not told'}" for value, count in Counter(values).most_common())


def _ages(ages: list[float]) -> str:
    if not ages:
        return "of none known"
    return f"{sum(age < OLD for age in ages)} below {OLD} years, {sum(age >= OLD for age in ages)} of {OLD} and more"


if __name__ == "__main__":
    with one_line_errors():
        main()
