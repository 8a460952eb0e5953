"""Enlarge radiographs of yours with a trained network. The result is for research, not for diagnosis.

    cxr enhance INPUT... -o OUT [--model srcnn|vdsr|FILE] [--scale 2|3|4] [--denoise]
                      [--bits N] [--any-modality] [--compare] [--reference FILE] [--overwrite]

INPUT are JPEG, PNG or TIFF files of 8 or 16 bits, DICOM files, or folders of them. OUT is a folder, or for one file a file;
results are of the same kind and depth. A file is told by its content, whatever its name; of folders, links are followed.
No file is replaced without --overwrite, but for results of the same model and settings from the same file, by their note.
"""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from cxr.api import Model, enhance_file, load_model
from cxr.cli import targets
from cxr.compute.memory import keep_freed_memory
from cxr.figures.layout import DISCLAIMER
from cxr.formats.decode import Unusable
from cxr.formats.dicom.derived import DICOM_SUFFIXES
from cxr.formats.dicom.header import is_dicom
from cxr.formats.encode import FORMATS, format_of, is_picture
from cxr.foundation.access import private
from cxr.foundation.errors import UserError, of_the_disk, one_line_errors
from cxr.foundation.files import refuse_special
from cxr.service import description, kind_of, note_for
from cxr.superres.methods import LEAD, NETWORKS, TITLES

WITHDRAWN = (
    "is withdrawn: it left text that can name the patient. Nothing was written; de-identify the result with a tool made for it"
)

DEPTHS = range(2, 17)
IMAGES = b"\xff\xd8\xff", b"\x89PNG\r\n", b"II*\0", b"MM\0*", b"BM"
"""How JPEG, PNG, TIFF and BMP files begin."""


def main(arguments: Sequence[str], prog: str = "cxr enhance") -> None:
    """Enhance what the command line `arguments` name."""
    given = _parsed(arguments, prog)
    if given.anonymise:
        raise UserError(f"--anonymise {WITHDRAWN}")
    keep_freed_memory()
    skipped: Counter[str] = Counter()
    jobs = list(_jobs(given.input, given.output, skipped))
    if given.reference and len(jobs) != 1:
        raise UserError(f"--reference belongs to one radiograph, but {len(jobs)} are given")
    if given.reference:
        refuse_special(given.reference)
    model = load_model(given.model)
    if given.scale not in model.networks:
        raise UserError(f"{given.model} was trained for x{', x'.join(map(str, model.networks))}, not for x{given.scale}")
    if given.denoise and not any(model.described["noise"]):
        raise UserError(
            f"{given.model} was trained without noise; name a model that was trained with it (degrade.noise in params.yaml)"
        )
    also_read = [path for path in (model.path, given.reference) if path]
    targets.refuse(
        jobs, given.compare, also_read, given.overwrite, lambda source: note_for(source, model, given.scale, given.bits)
    )
    failed: list[str] = []
    begun, pixels = time.monotonic(), 0
    with tqdm(total=len(jobs), unit="file", disable=None if len(jobs) > 1 else True) as files:
        for source, target in jobs:
            try:
                with private(target):
                    pixels += _enhance(source, target, model, given, alone=len(jobs) == 1)
            except (UserError, Unusable) as error:
                failed.append(str(error) if isinstance(error, UserError) else f"{source}: {error}")
            except OSError as error:
                if of_the_disk(error) and error.filename != str(source):
                    raise
                failed.append(f"{source}: {error.strerror or error}")
            files.update()
    seconds = time.monotonic() - begun
    if skipped:
        print(f"{_files(skipped.total())} skipped: {', '.join(f'{count} {why}' for why, count in skipped.items())}")
    done = len(jobs) - len(failed)
    rate = f"{pixels / 1e6:.1f} million pixels in {seconds:.1f} s, {pixels / 1e6 / seconds:.2f} million a second"
    print(f"{done} of {len(jobs)} {description(model, given.scale)}: {rate}. {DISCLAIMER}")
    if failed:
        raise UserError("\n  ".join(failed if len(failed) == 1 else [f"{len(failed)} files could not be enhanced:", *failed]))


def _parsed(arguments: Sequence[str], prog: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=prog, description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("input", nargs="+", type=Path, help="radiographs, or folders of them")
    parser.add_argument("-o", "--output", required=True, type=Path, help="a folder; for one radiograph also a file")
    parser.add_argument("--model", default=LEAD, help=f"{', '.join(NETWORKS)} ({LEAD} by default) or a model file")
    parser.add_argument("--scale", type=int, choices=(2, 3, 4), default=2, help="how many times as many rows and columns")
    parser.add_argument("--denoise", action="store_true", help="insist on a model that was trained with noise")
    parser.add_argument(
        "--bits", type=int, choices=DEPTHS, metavar="N", help="how many bits were measured; found of itself, and told"
    )
    parser.add_argument("--any-modality", action="store_true", help="take DICOM images that are not CR, DX, DR or SC as well")
    parser.add_argument("--compare", action="store_true", help="also draw bicubic interpolation and the result side by side")
    parser.add_argument(
        "--anonymise", action="store_true", help="withdrawn: refuses, because it left text that can name the patient"
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace files that are there already; results of the same model and settings from the same file need no leave",
    )
    parser.add_argument("--reference", type=Path, help="what the result should be: prints PSNR and SSIM")
    return parser.parse_args(arguments or ["--help"])


def _jobs(inputs: Sequence[Path], output: Path, skipped: Counter[str]) -> Iterator[tuple[Path, Path]]:
    """Yield each radiograph and where its result goes, and count in `skipped`, by reason, what is none.

    Raises UserError when one is missing or no file, or when `output` cannot take them.
    """
    to_file = _names_file(output)
    if to_file and (len(inputs) > 1 or inputs[0].is_dir()):
        raise UserError(
            f"{output} names one file, but a folder or several radiographs are given; name a folder for the results"
        )
    for given in (path for pattern in inputs for path in _named(pattern)):
        found = sorted(_radiographs(given, output, skipped)) if given.is_dir() else [given]
        if not found:
            raise UserError(f"{given} holds no radiograph ({', '.join([*FORMATS, *DICOM_SUFFIXES])})")
        for source in found:
            refuse_special(source)
            yield source, output if to_file else output / (source.relative_to(given) if given.is_dir() else source.name)


def _names_file(output: Path) -> bool:
    """Tell whether `output` names a file, not a folder. Raises UserError when it cannot be written."""
    refuse_special(output)
    if output.is_dir():
        return False
    if is_picture(output):
        format_of(output)
    elif output.exists() and not kind_of(output):
        raise UserError(f"{output} is a file; name a folder, or a file that ends in {', '.join([*FORMATS, *DICOM_SUFFIXES])}")
    return bool(kind_of(output))


def _named(pattern: Path) -> list[Path]:
    """Return `pattern` if it is there, else what it matches: not every shell expands a star."""
    found = [pattern] if pattern.exists() else sorted(Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor))))
    if not found:
        raise UserError(f"{pattern} is missing; name a radiograph or a folder of them")
    return found


def _radiographs(folder: Path, output: Path, skipped: Counter[str]) -> Iterator[Path]:
    """Yield the files below `folder`, linked folders among them, that are radiographs by suffix or content.

    Each folder once, whatever links to it. `skipped` counts the others, but for results of before.
    """
    results = output.resolve() if output.is_dir() and not output.samefile(folder) else None
    seen: set[Path] = set()
    for name, folders, files in os.walk(folder, followlinks=True):
        place = Path(name).resolve()
        if place in seen or (results and results in [place, *place.parents]):
            folders.clear()
            continue
        seen.add(place)
        folders.sort()
        for path in (Path(name) / file for file in files):
            if _hidden(path.relative_to(folder)):
                skipped["hidden"] += 1
            elif not path.is_file():
                skipped["broken links or no files"] += 1
            elif kind_of(path) or _is_image(path):
                yield path
            else:
                skipped["no radiographs"] += 1


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in path.parts)


def _is_image(path: Path) -> bool:
    """Tell by content whether the file `path` is an image; one that cannot be read counts as one, and is told of later."""
    try:
        with path.open("rb") as file:
            return file.read(8).startswith(IMAGES) or (is_dicom(path) and path.name != "DICOMDIR")
    except OSError:
        return True


def _files(count: int) -> str:
    return f"{count} file{'' if count == 1 else 's'}"


def _enhance(source: Path, target: Path, model: Model, given: argparse.Namespace, alone: bool) -> int:
    """Write the result of `source` to `target`, and what else is wanted; return how many pixels it has."""
    with tqdm(unit="pixel", unit_scale=True, disable=None if alone else True) as progress:

        def advance(pixels: int, total: int) -> None:
            progress.total = total
            progress.update(pixels)

        enhanced = enhance_file(
            source, target, model, given.scale, advance, given.bits, given.any_modality, given.overwrite, given.reference
        )
    for remark in enhanced.remarks:
        tqdm.write(f"{source}: {remark}")
    if given.compare:
        title = f"{source.name} {description(model, given.scale)}"
        enhanced.compare(targets.comparison_of(target), title)
    for method, (psnr, ssim) in enhanced.quality().items():
        print(f"{TITLES[method]}: PSNR {psnr:.2f} dB, SSIM {ssim:.4f}")
    return int(enhanced.result.size)


def run() -> None:
    """Run the command, and end with one line on a mistake."""
    with one_line_errors():
        main(sys.argv[1:], Path(sys.argv[0]).name)
