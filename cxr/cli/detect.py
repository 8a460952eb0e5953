"""Say what a detector sees on radiographs of yours. It is for research, not for diagnosis.

    cxr detect FILE... --model DETECTOR [--evidence FILE] [--prevalence SHARE] [--even-so]
                       [--heat-map FOLDER [--overwrite]]

FILE are JPEG, PNG, TIFF or BMP files, or DICOM, told by their content. DETECTOR is a file that the stage train_detector wrote.
Of each finding a line says: seen, not seen, or not known. Beside it stands how many times as often the detector says so of
radiographs with the finding as of those without, with the 95% interval, as the stage detect measured it: `detect.json` beside
the detector, or --evidence. There is no probability, unless --prevalence tells how many of such radiographs have the finding.
Where a picture is unlike the radiographs that the detector knows, nothing is told, and the command ends with 3. So it does
where the detector was not shown to do better on another source than shortcuts such as sharpness; with --even-so it is used.
With --heat-map a PNG in FOLDER shows, beside each radiograph of which anything is told, what in it speaks for each finding, and
says how often such maps point to it. No file is replaced without --overwrite. Where a map cannot be drawn, the answers stand,
and the command ends with 1.
"""

import argparse
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch

from cxr.cli import targets
from cxr.cli.screen import say, shown
from cxr.detection import detector
from cxr.detection.detector import Detector
from cxr.detection.explaining import Maps
from cxr.detection.explaining import shown as drawn_map
from cxr.detection.instrument import BESIDE, Evidence, Seen, Told, explain, look
from cxr.figures.heat_maps import Panel, heat_maps
from cxr.figures.layout import DISCLAIMER, save
from cxr.formats.decode import Unusable
from cxr.foundation.access import private
from cxr.foundation.errors import RefusedError, UserError
from cxr.foundation.files import refuse_special

ENDS = ".heat_map.png"
"""What a heat map is called after its radiograph."""
MAP = 256
"""Rows and columns of a heat map as it is drawn."""
NO_RESULT = "\0"
"""What no note holds: a heat map is not known again, and so is replaced on request alone."""


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
    maps = _targets(given)
    failed: list[str] = []
    undrawn: list[str] = []
    refused = drawn = 0
    for path in given.files:
        name = shown(path)
        try:
            refuse_special(path)
            found = look(path, trained, evidence, given.even_so)
        except (UserError, Unusable, OSError) as error:
            failed.append(f"{name}: {_reason(error).removeprefix(f'{path}: ')}")
            refused += isinstance(error, RefusedError)
            continue
        for line in lines(found, given.prevalence):
            say(f"{name}: {line}")
        if path in maps:
            try:
                _draw(found, trained, evidence, shown(path.name), maps[path])
                drawn += 1
            except (UserError, OSError) as error:
                undrawn.append(f"{shown(maps[path])}: {_reason(error)}")
    for finding in trained.findings if drawn else ():
        say(evidence.pointing(finding))
    say(DISCLAIMER)
    if failed or undrawn:
        told = [*_listed("files of which nothing is told", failed), *_listed("heat maps that are not drawn", undrawn)]
        raise (RefusedError if refused == len(failed) and not undrawn else UserError)("\n  ".join(told))


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


def _reason(error: Exception) -> str:
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else str(error)


def _listed(what: str, told: list[str]) -> list[str]:
    """Return lines on each of `what` that went wrong, under how many they are where there are several."""
    return [f"{len(told)} {what}:", *told] if len(told) > 1 else told


def _targets(given: argparse.Namespace) -> dict[Path, Path]:
    """Return where the heat map of each file goes, if any is wanted.

    Raises UserError where that would harm a file, and where nothing can be written there: before the first answer.
    """
    if not given.heat_map:
        return {}
    there = next(path for path in (given.heat_map.absolute(), *given.heat_map.absolute().parents) if path.exists())
    if not there.is_dir():
        raise UserError(f"{shown(there)} is no folder; name a folder for heat maps")
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        remedy = "name a folder for heat maps that can be written"
        raise UserError(f"{shown(given.heat_map)}: {_reason(error)}; {remedy}") from None
    jobs = [(path, given.heat_map / f"{path.name}{ENDS}") for path in dict.fromkeys(given.files)]
    others = [path for path in (given.model, given.evidence) if path]
    targets.refuse(jobs, False, others, given.overwrite, lambda _: NO_RESULT, {path: shown(path) for path, _ in jobs})
    return dict(jobs)


def _draw(found: Seen, trained: Detector, evidence: Evidence, name: str, target: Path) -> None:
    """Draw a radiograph, called `name`, and beside it a heat map of each finding, into `target`."""
    maps = explain(found.image, trained)
    panels = [Panel(name, found.image)]
    panels += [Panel(_title(each, maps[each.finding]), found.image, drawn_map(maps[each.finding], MAP)) for each in found.told]
    told = [evidence.pointing(finding) for finding in trained.findings]
    with private(target), warnings.catch_warnings():
        # Of signs in the name that the font of the picture lacks, such as Chinese ones: a box stands for each.
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        save(heat_maps([panels], "What in the dotted square speaks for a finding", told), target)


def _title(told: Told, heat: Maps) -> str:
    return f"{told.finding}: {told.answer}" + ("" if heat.max() > 0 else "; nothing speaks for it")


def _parsed(arguments: Sequence[str], prog: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=prog, description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="radiographs")
    parser.add_argument("--model", type=Path, required=True, help="a detector, such as models/detector.safetensors")
    parser.add_argument("--evidence", type=Path, help=f"what was measured of it; {BESIDE} beside it by default")
    parser.add_argument(
        "--prevalence", type=float, help="the share of such radiographs that has the finding, above 0 and below 1"
    )
    parser.add_argument("--even-so", action="store_true", help="use a detector that was not shown to do better than shortcuts")
    parser.add_argument(
        "--heat-map", type=Path, metavar="FOLDER", help="draw there what in each radiograph speaks for a finding"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace heat maps that are there already")
    return parser.parse_args(arguments)
