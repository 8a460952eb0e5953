"""Say what a detector sees on radiographs of yours. It is for research, not for diagnosis.

    cxr detect FILE... --model DETECTOR [--evidence FILE] [--prevalence SHARE] [--even-so]

FILE are JPEG, PNG, TIFF or BMP files, or DICOM, told by their content. DETECTOR is a file that the stage train_detector wrote.
Of each finding a line says: seen, not seen, or not known. Beside it stands how many times as often the detector says so of
radiographs with the finding as of those without, with the 95% interval, as the stage detect measured it: `detect.json` beside
the detector, or --evidence. There is no probability, unless --prevalence tells how many of such radiographs have the finding.
Where a picture is unlike the radiographs that the detector knows, nothing is told, and the command ends with 3. So it does
where the detector was not shown to do better on another source than shortcuts such as sharpness; with --even-so it is used.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from cxr.cli.screen import say, shown
from cxr.detection import detector
from cxr.detection.instrument import BESIDE, Evidence, Seen, look
from cxr.figures.layout import DISCLAIMER
from cxr.formats.decode import Unusable
from cxr.foundation.errors import RefusedError, UserError
from cxr.foundation.files import refuse_special


def main(arguments: Sequence[str], prog: str = "cxr detect") -> None:
    """Look at what the command line `arguments` name."""
    given = _parsed(arguments, prog)
    if given.prevalence is not None and not 0 < given.prevalence < 1:
        raise UserError(f"--prevalence is {given.prevalence:g}; expected a share above 0 and below 1")
    trained = detector.read(given.model, torch.device("cpu"))
    if trained is None:
        raise UserError(f"{given.model} holds no network, since no finding could be learnt; train it on more radiographs")
    if given.evidence and not given.evidence.is_file():
        raise UserError(f"{given.evidence} is missing; run the stage detect, which writes metrics/detect.json")
    evidence = Evidence.of(given.evidence or given.model.with_name(BESIDE), trained)
    failed: list[str] = []
    refused = 0
    for path in given.files:
        name = shown(path)
        try:
            refuse_special(path)
            for line in lines(look(path, trained, evidence, given.even_so), given.prevalence):
                say(f"{name}: {line}")
        except (UserError, Unusable, OSError) as error:
            reason = (error.strerror or type(error).__name__) if isinstance(error, OSError) else str(error)
            failed.append(f"{name}: {reason.removeprefix(f'{path}: ')}")
            refused += isinstance(error, RefusedError)
    say(DISCLAIMER)
    if failed:
        several = [f"{len(failed)} files of which nothing is told:"] if len(failed) > 1 else []
        raise (RefusedError if refused == len(failed) else UserError)("\n  ".join([*several, *failed]))


def lines(seen: Seen, prevalence: float | None = None) -> list[str]:
    """Return what is said of a radiograph, a line for each finding and remark."""
    told = []
    for each in seen.told:
        line = f"{each.finding} {each.answer}"
        if each.ratio:
            value, low, high = each.ratio
            where = "another source" if each.group == "external" else "test radiographs of the detector's own source"
            line += f", likelihood ratio {value:.2f} [{low:.2f}, {high:.2f}] on {where}"
        if prevalence is not None and (after := each.post_test(prevalence)):
            value, low, high = after
            line += f"; of {prevalence:.1%} before, {value:.1%} [{low:.1%}, {high:.1%}] after"
        told.append(line)
    return [*told, *seen.remarks]


def _parsed(arguments: Sequence[str], prog: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=prog, description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="radiographs")
    parser.add_argument("--model", type=Path, required=True, help="a detector, such as models/detector.safetensors")
    parser.add_argument("--evidence", type=Path, help=f"what was measured of it; {BESIDE} beside it by default")
    parser.add_argument(
        "--prevalence", type=float, help="the share of such radiographs that has the finding, above 0 and below 1"
    )
    parser.add_argument("--even-so", action="store_true", help="use a detector that was not shown to do better than shortcuts")
    return parser.parse_args(arguments)
