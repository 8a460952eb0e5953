"""Enlarge radiographs of yours with a trained network. The result is for research, not for diagnosis.

    cxr enhance INPUT... -o OUT [--model srcnn|vdsr|edsr|FILE] [--scale 2|3|4] [--strength 0..1] [--or-bicubic] [--denoise]
                      [--bits N] [--any-modality] [--compare] [--reference FILE] [--overwrite]
                      [--anonymise [--key FILE] [--pixels-checked]]

INPUT are JPEG, PNG or TIFF files of 8 or 16 bits, DICOM files, or folders of them. OUT is a folder, or for one file a file;
results are of the same kind and depth. A file is told by its content, whatever its name; of folders, links are followed.
No file is replaced without --overwrite, but for results of the same model and settings from the same file, by their note.
What came in is told in a line: its noise, and its JPEG quality. Where the model was measured to harm such radiographs, nothing
is written, and the command ends with 3; with --or-bicubic they are interpolated, which their note and name say.
With --anonymise, headers are de-identified and results in a folder are named by their new UIDs; see docs/security.md.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from tqdm import tqdm

from cxr.api import Enhanced, Model, enhance_file, load_model
from cxr.cli import targets
from cxr.cli.jobs import jobs, names_file
from cxr.cli.screen import ScreenError, on_terminal, say, shown
from cxr.compute.memory import keep_freed_memory
from cxr.figures.layout import DISCLAIMER
from cxr.formats.decode import Unusable
from cxr.formats.dicom.deidentify.key import Key, kept_key
from cxr.foundation.access import private
from cxr.foundation.errors import RefusedError, UserError, of_the_disk, one_line_errors
from cxr.foundation.files import refuse_special
from cxr.result import comparison_of, description, origin_of
from cxr.service import UNTOLD, Deidentification
from cxr.superres.methods import LEAD, NETWORKS, TITLES

DEPTHS = range(2, 17)
REFERENCE = "the reference"
"""What messages call it that may not name it."""


def main(arguments: Sequence[str], prog: str = "cxr enhance") -> None:
    """Enhance what the command line `arguments` name."""
    given = _parsed(arguments, prog)
    keep_freed_memory()
    skipped: Counter[str] = Counter()
    found = list(jobs(given.input, given.output, skipped, hidden=given.anonymise))
    aside = {given.reference: REFERENCE if given.anonymise else shown(given.reference)} if given.reference else {}
    labels = [f"input {number}" if given.anonymise else shown(source) for number, (source, _) in enumerate(found, 1)]
    _check_reference(given.reference, len(found), hidden=given.anonymise)
    model = _model(given)
    deidentify = _deidentification(given)
    if deidentify and not names_file(given.output):  # where results get names that nobody has had
        with private(given.output / "result"):
            given.output.mkdir(parents=True, exist_ok=True)
    else:
        targets.refuse(
            *(found, given.compare, [path for path in (model.path, given.reference, given.key) if path], given.overwrite),
            lambda source: origin_of(
                source, model, given.scale, given.bits, deidentify.key if deidentify else None, given.strength
            ),
            {**aside, **{source: label for (source, _), label in zip(found, labels, strict=True)}},
            given.or_bicubic,
        )
    failed: list[str] = []
    refused, weaker = 0, Counter[float]()
    made: dict[Path, str] = {}
    actions: Counter[str] = Counter()
    begun, pixels = time.monotonic(), 0
    with tqdm(total=len(found), unit="file", disable=None if len(found) > 1 else True) as files:
        for label, (source, target) in zip(labels, found, strict=True):
            path: Path | None = None
            try:
                with private(target / "result" if target.is_dir() else target):
                    enhanced = _enhance(source, target, model, given, deidentify, label, alone=len(found) == 1)
                path = enhanced.path
                pixels += int(enhanced.result.size)
                if path not in made:
                    actions += enhanced.actions or Counter()
                    weaker[enhanced.strength] += enhanced.strength < given.strength
            except ScreenError:
                raise
            except (UserError, Unusable, OSError) as error:
                failed.append(_reason(error, source, {source: label, **aside}, hidden=given.anonymise))
                refused += isinstance(error, RefusedError)
            if path and (first := made.setdefault(path, label)) is not label:
                say(f"{label} is the same image as {first}, so both have one result")
            if deidentify and on_terminal():  # the one line that joins both, for the user's eyes
                say(f"{label} was {shown(source)}, " + (f"became {path.name}" if path else "became nothing"))
            files.update()
    if skipped:
        say(f"{_files(skipped.total())} skipped: {', '.join(f'{count} {why}' for why, count in skipped.items())}")
    done = f"{len(made) - weaker[0]} of {len(found)} {description(model, given.scale, given.strength)}{_weaker(weaker)}"
    say(f"{done}: {_rate(pixels, time.monotonic() - begun)}. {DISCLAIMER}")
    if deidentify and made:
        say(_told(actions, kept=bool(given.key)))
    if failed:
        several = [f"{len(failed)} files could not be enhanced:"] if len(failed) > 1 else []
        raise (RefusedError if refused == len(failed) else UserError)("\n  ".join([*several, *failed]))


def _parsed(arguments: Sequence[str], prog: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=prog, description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("input", nargs="+", type=Path, help="radiographs, or folders of them")
    parser.add_argument("-o", "--output", required=True, type=Path, help="a folder; for one radiograph also a file")
    parser.add_argument("--model", default=LEAD, help=f"{', '.join(NETWORKS)} ({LEAD} by default) or a model file")
    parser.add_argument("--scale", type=int, choices=(2, 3, 4), default=2, help="how many times as many rows and columns")
    parser.add_argument("--strength", type=float, default=1.0, help="share of what the model would change, 0 to 1")
    parser.add_argument("--or-bicubic", action="store_true", help="interpolate radiographs that the model would harm")
    parser.add_argument("--denoise", action="store_true", help="insist on a model that was trained with noise")
    parser.add_argument(
        "--bits", type=int, choices=DEPTHS, metavar="N", help="how many bits were measured; found of itself, and told"
    )
    parser.add_argument("--any-modality", action="store_true", help="take DICOM images that are not CR, DX, DR or SC as well")
    parser.add_argument("--compare", action="store_true", help="also draw bicubic interpolation and the result side by side")
    parser.add_argument(
        "--anonymise",
        "--deidentify",
        action="store_true",
        help="de-identify DICOM headers (PS3.15, Basic Profile) and name results by new UIDs; the picture stays as it is",
    )
    parser.add_argument(
        "--key", type=Path, help="with --anonymise: a secret file, made on first use; the same key joins a study's images again"
    )
    parser.add_argument(
        "--pixels-checked", action="store_true", help="with --anonymise: you have looked, and no picture shows a patient's name"
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace files that are there already; results of the same model and settings from the same file need no leave",
    )
    parser.add_argument("--reference", type=Path, help="what the result should be: prints PSNR and SSIM")
    return parser.parse_args(arguments or ["--help"])


def _model(given: argparse.Namespace) -> Model:
    """Return the model that is asked for. Raises UserError when it was not trained for what is wanted."""
    model = load_model(given.model)
    if given.scale not in model.networks:
        raise UserError(f"{given.model} was trained for x{', x'.join(map(str, model.networks))}, not for x{given.scale}")
    if given.denoise and not any(model.described["noise"]):
        raise UserError(
            f"{given.model} was trained without noise; name a model that was trained with it (degrade.noise in params.yaml)"
        )
    return model


def _deidentification(given: argparse.Namespace) -> Deidentification | None:
    """Return how to de-identify, if that is wanted. Raises UserError for options that mean nothing without it."""
    if given.anonymise:
        return Deidentification(kept_key(given.key) if given.key else Key.new(), given.pixels_checked)
    for name in ("key", "pixels_checked"):
        if getattr(given, name):
            raise UserError(f"--{name.replace('_', '-')} says how to de-identify; give --anonymise, too")
    return None


def _check_reference(reference: Path | None, radiographs: int, hidden: bool) -> None:
    """Raise UserError when there is a `reference`, and it is no file, or belongs to no single radiograph.

    If `hidden`, the message does not name it.
    """
    if not reference:
        return
    if radiographs != 1:
        raise UserError(f"--reference belongs to one radiograph, but {radiographs} are given")
    refuse_special(reference, REFERENCE if hidden else "")
    name = REFERENCE if hidden else reference
    try:
        there = reference.is_file()
    except PermissionError as error:
        raise UserError(f"{name}: {error.strerror}; name a reference that can be read") from None
    except OSError:
        there = False
    if not there:
        raise UserError(f"{name} is no file; name a reference")


def _reason(error: UserError | Unusable | OSError, source: Path, labels: Mapping[Path, str], hidden: bool) -> str:
    """Return why nothing became of `source`; `labels` is what messages call each file that is read.

    Raises `error` when it is one of another disk.
    """
    label = labels[source]
    match error:
        case UserError():
            for path, name in labels.items():
                if str(error).startswith((f"{path}: ", f"{path} ")):
                    return name + str(error).removeprefix(str(path))
            return str(error)
        case OSError():
            names = {str(path): name for path, name in labels.items()}
            if of_the_disk(error) and error.filename != str(source):
                error.filename = names.get(str(error.filename), error.filename)
                raise error
            name = label if error.filename is None else names.get(str(error.filename)) or shown(str(error.filename))
            return f"{name}: {error.strerror or error}"
        case Unusable(quotes=True) if hidden:  # whose reason may hold what the label hides
            return f"{label}: {error.kind}; {UNTOLD}"
    return f"{label}: {error}"


def _told(actions: Counter[str], kept: bool) -> str:
    """Return what was done to headers, by counts, and what that does not promise."""
    counts = ", ".join(f"{count} {what}" for what, count in sorted(actions.items()))
    done = f"De-identified header, elements: {counts}" if counts else "There was no DICOM header to de-identify"
    key = "" if kept else " Without --key, another run gives other UIDs."
    return f"{done}.{key} Pictures are as they were: they can be matched with others of the same person."


def _weaker(counts: Counter[float]) -> str:
    """Return how many results are weaker than asked for, of `counts` by strength; at 0 they are not enhanced at all."""
    weak = [strength for strength in sorted(counts) if strength and counts[strength]]
    enhanced = "".join(f", of these {counts[strength]} at strength {strength:g} only" for strength in weak)
    return f"{enhanced}; {counts[0]} interpolated, not enhanced" if counts[0] else enhanced


def _rate(pixels: int, seconds: float) -> str:
    return f"{pixels / 1e6:.1f} million pixels in {seconds:.1f} s, {pixels / 1e6 / seconds:.2f} million a second"


def _files(count: int) -> str:
    return f"{count} file{'' if count == 1 else 's'}"


def _enhance(
    source: Path,
    target: Path,
    model: Model,
    given: argparse.Namespace,
    deidentify: Deidentification | None,
    label: str,
    alone: bool,
) -> Enhanced:
    """Write the result of `source`, which messages call `label`, to `target`, and what else is wanted; return it."""
    with tqdm(unit="pixel", unit_scale=True, disable=None if alone else True) as progress:

        def advance(pixels: int, total: int) -> None:
            progress.total = total
            progress.update(pixels)

        enhanced = enhance_file(
            *(source, target, model, given.scale, advance, given.bits, given.any_modality),
            overwrite=given.overwrite,
            reference=given.reference,
            deidentify=deidentify,
            compare=given.compare,
            now=datetime.now(),
            strength=given.strength,
            or_bicubic=given.or_bicubic,
        )
    for remark in enhanced.remarks:
        say(f"{label}: {remark}")
    if given.compare:
        what = description(model, given.scale, enhanced.strength)
        title = f"{enhanced.path.name if deidentify else shown(source.name)} {what}"
        enhanced.compare(comparison_of(enhanced.path), title)
    for method, (psnr, ssim) in enhanced.quality().items():
        say(f"{TITLES[method]}: PSNR {psnr:.2f} dB, SSIM {ssim:.4f}")
    return enhanced


def run() -> None:
    """Run the command, and end with one line on a mistake."""
    with one_line_errors():
        main(sys.argv[1:], Path(sys.argv[0]).name)
