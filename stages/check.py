"""Read every section of params.yaml, so that a typo anywhere stops `dvc repro` here and not after hours."""

if __name__ == "__main__":  # before imports that take seconds, in which nobody would notice that dvc has gone
    from cxr.foundation.parent import exit_with_parent

    exit_with_parent()

import math
from pathlib import Path
from typing import Any

from cxr.dataset.settings import Preprocess, Split
from cxr.detection.settings import Detection, Learning
from cxr.foundation import errors, files, params
from cxr.foundation.errors import UserError
from cxr.foundation.runtime import Runtime
from cxr.sources.phantom.settings import Phantom
from cxr.sources.settings import Download
from cxr.superres.architectures import edsr, srcnn
from cxr.superres.evaluation.settings import ErrorMaps
from cxr.superres.settings import Degrade, Evaluate, Ranges, chosen, conditions
from cxr.superres.training.settings import Augment, Training

PARAMS = Path("params.yaml")
OK = Path("data/params.ok")

SECTIONS: dict[str, type[Any]] = {
    "download": Download,
    "phantom": Phantom,
    "preprocess": Preprocess,
    "split": Split,
    "degrade": Degrade,
    "ranges": Ranges,
    "augment": Augment,
    "srcnn": srcnn.Architecture,
    "edsr": edsr.Architecture,
    "train_srcnn": Training,
    "train_vdsr": Training,
    "train_edsr": Training,
    "evaluate": Evaluate,
    "errormaps": ErrorMaps,
    "detection": Detection,
    "train_detector": Learning,
    "runtime": Runtime,
}


def run(workspace: Path) -> None:
    """Check `workspace`'s parameters and write a constant that download depends on.

    Raises UserError for an unknown or missing section, for an unknown, missing, ill-typed or ill-valued key, when EDSR's
    patch is no multiple of a scale or it is told of clean crops alone, and when a condition is unknown or wrong.
    """
    path = workspace / PARAMS
    params.refuse_unknown(params.load(path), {**SECTIONS, "conditions": None}, path)
    for section, schema in SECTIONS.items():
        params.read(path, section, schema)
    if params.read(path, "edsr", edsr.Architecture).told and not params.read(path, "ranges", Ranges).varied:
        raise UserError(f"{path}: edsr.told is true and ranges.clean 1, so there is nothing to tell; set one of them otherwise")
    evaluate = params.read(path, "evaluate", Evaluate)
    training, degrade = params.read(path, "train_edsr", Training), params.read(path, "degrade", Degrade)
    if wrong := [scale for scale in degrade.scales if training.patch % scale]:
        least = math.lcm(*degrade.scales)
        reason = f"train_edsr.patch is {training.patch}, no multiple of the scale {wrong[0]}"
        raise UserError(f"{path}: {reason}; set a multiple of {least}")
    chosen(conditions(path), evaluate.conditions, degrade.scales, path)
    files.write_text(workspace / OK, "every section of params.yaml is understood\n")


if __name__ == "__main__":
    with errors.one_line_errors():
        run(Path())
