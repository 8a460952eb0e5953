"""Radiograph files of any kind as one packed array of square 8-bit images."""

import hashlib
import tempfile
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, assert_never

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from cxr.dataset.patients import patient
from cxr.dataset.settings import Normalise, Preprocess
from cxr.formats.decode import Grey, Unusable, decode
from cxr.foundation.errors import UserError
from cxr.foundation.files import replacing
from cxr.foundation.workers import in_order

COLUMNS = ("id", "class", "patient", "source", "height", "width", "sha256")
REJECTED_COLUMNS = ("file", "class", "kind", "reason")

_PERCENTILES = (0.5, 99.5)


class Packed(NamedTuple):
    """What became of the files: the chosen images' table, the files set aside, and counts {what: {class: files}}."""

    table: pd.DataFrame
    rejected: pd.DataFrame
    counts: dict[str, dict[str, int]]


class Prepared(NamedTuple):
    """One file, ready to pack: uint8 pixels (size, size), the file's own height and width, and `digest` of its pixels."""

    pixels: NDArray[np.uint8]
    height: int
    width: int
    sha256: str


def prepare(pixels: Grey, size: int, normalise: Normalise) -> NDArray[np.uint8]:
    """Return the central square of a grey image (height, width), uint8 or uint16, as uint8 (size, size).

    Reduced by antialiased bicubic interpolation (a = -0.5, Pillow's, on float32), which is MATLAB's imresize: the ground truth
    is made as the papers make every image, and PSNR compares only between images reduced alike (`docs/results.md`).
    Grey levels: "none" maps the dtype's full range to 0..255, "minmax" the darkest and brightest pixel of the reduced
    square, "percentile" its 0.5th and 99.5th percentile, clipped; rounded. An image of one level becomes 0 under the
    latter two. Raises Unusable("too small") when the shorter side is below `size`: ground truth is never enlarged.
    """
    height, width = pixels.shape
    side = min(height, width)
    if side < size:
        raise Unusable("too small", f"{width}x{height} pixels; the shorter side is below preprocess.size {size}")
    top, left = (height - side) // 2, (width - side) // 2
    square = pixels[top : top + side, left : left + side].astype(np.float32)
    reduced = np.asarray(Image.fromarray(square).resize((size, size), Image.Resampling.BICUBIC))
    low, high = _range(reduced, normalise, np.iinfo(pixels.dtype).max)
    scaled = (reduced - low) * (255 / (high - low) if high > low else 0)
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def digest(pixels: Grey) -> str:
    """Return the SHA-256, in hex, of a line with dtype and shape, such as uint16 600x800, and the little-endian pixels."""
    header = f"{pixels.dtype.name} {'x'.join(map(str, pixels.shape))}\n".encode()
    return hashlib.sha256(header + pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()).hexdigest()


def pack(raw: Path, images: Path, settings: Preprocess, processes: int, cluster: str = "") -> Packed:
    """Prepare the files `raw`/CLASS/NAME and write those that are used to `images`, a .npy of uint8 (N, size, size).

    Row i of the returned table (COLUMNS) describes image i; rows are in the order of their source. Of files with equal
    pixels the first counts. The result does not depend on `processes` or `cluster`, which are those of `workers.in_order`.
    Memory stays flat however many files there are.
    Raises UserError when nothing usable is left, when the share of damaged files is above `settings.max_damaged`, and for
    a cluster that does not work.
    """
    files = sorted(path.relative_to(raw).as_posix() for path in raw.glob("*/*") if not path.name.startswith("."))
    rows: list[tuple[Any, ...]] = []
    rejected: list[tuple[str, str, str, str]] = []
    seen: dict[str, str] = {}
    images.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=images.parent) as usable:
        job = partial(_prepare_file, raw.resolve(), settings.size, settings.normalise)
        outcomes = in_order(job, files, processes, cluster, raw.resolve())
        outcomes = tqdm(outcomes, "decoding", len(files), unit="image", disable=None)
        for name, outcome in zip(files, outcomes, strict=True):
            group = name.split("/")[0]
            if isinstance(outcome, Prepared) and (first := seen.setdefault(outcome.sha256, name)) != name:
                outcome = Unusable("duplicate", f"the same pixels as {first}")  # noqa: PLW2901
            if isinstance(outcome, Unusable):
                rejected.append((name, group, outcome.kind, outcome.reason))
                continue
            usable.write(outcome.pixels.tobytes())
            sha256 = outcome.sha256
            rows.append((sha256[:12], group, patient(name), name, outcome.height, outcome.width, sha256))
        aside = pd.DataFrame(rejected, columns=REJECTED_COLUMNS)
        _refuse_bad_source(raw, files, aside, settings)
        table = pd.DataFrame(rows, columns=COLUMNS)
        chosen = choose(table, settings.limit, settings.seed)
        # Copied, not through memory maps, whose pages would count as this process's memory.
        shape = len(chosen), settings.size, settings.size
        with replacing(images) as partial_file, partial_file.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
            for row in chosen:
                usable.seek(row * settings.size**2)
                file.write(usable.read(settings.size**2))
    used = table.iloc[chosen].reset_index(drop=True)
    return Packed(used, aside, _counts(files, table, used, aside))


def choose(table: pd.DataFrame, limit: int, seed: int) -> list[int]:
    """Return the rows of `table` (columns class and patient), ascending, that are used: at most `limit`, whole patients.

    Classes keep their proportions, and the rows come as near to the limit as whole patients allow once every class has
    one patient, if that fits. `seed` decides on the patients. A patient of several classes counts for the commonest.
    """
    if len(table) <= limit:
        return list(range(len(table)))
    generator = np.random.default_rng(seed)
    rows_of: dict[str, list[int]] = {}
    for row, name in enumerate(table["patient"]):
        rows_of.setdefault(name, []).append(row)
    patients: dict[str, list[str]] = {}
    for name, rows in rows_of.items():
        patients.setdefault(str(table["class"].iloc[rows].mode().iloc[0]), []).append(name)
    queue: list[tuple[float, str, str]] = []
    firsts: list[str] = []
    for group in sorted(patients):
        names = [patients[group][i] for i in generator.permutation(len(patients[group]))]
        firsts.append(min(names, key=lambda name: len(rows_of[name])))
        ends = np.cumsum([len(rows_of[name]) for name in names])
        queue += [(end / ends[-1], group, name) for end, name in zip(ends, names, strict=True)]
    taken: list[str] = []
    room = limit
    for name in sorted(firsts, key=lambda name: len(rows_of[name])):
        if len(rows_of[name]) <= room:
            taken.append(name)
            room -= len(rows_of[name])
    # In this order every beginning of the queue has the classes in proportion.
    waiting = [name for _, _, name in sorted(queue) if name not in taken]
    sizes = [len(rows_of[name]) for name in waiting]
    taken += [waiting[i] for i in _fill(sizes, room)]
    return sorted(row for name in taken for row in rows_of[name])


def _fill(sizes: Sequence[int], room: int) -> list[int]:
    """Return the earliest indices whose sizes add up to the most that is possible without exceeding `room`."""
    # Bit s of reachable[i] is set when some of sizes[i:] add up to s.
    reachable = [1]
    mask = (1 << (room + 1)) - 1
    for size in reversed(sizes):
        reachable.append((reachable[-1] | reachable[-1] << size) & mask)
    reachable.reverse()
    left = reachable[0].bit_length() - 1
    chosen = []
    for i, size in enumerate(sizes):
        if size <= left and reachable[i + 1] >> (left - size) & 1:
            chosen.append(i)
            left -= size
    return chosen


def _range(levels: NDArray[np.float32], normalise: Normalise, white: int) -> tuple[float, float]:
    match normalise:
        case "none":
            return 0, white
        case "minmax":
            return float(levels.min()), float(levels.max())
        case "percentile":
            low, high = np.percentile(levels, _PERCENTILES)
            return float(low), float(high)
    assert_never(normalise)


def _prepare_file(raw: Path, size: int, normalise: Normalise, name: str) -> Prepared | Unusable:
    """Return the file `raw`/`name` prepared, or why it cannot be."""
    if not (raw / name).is_file():  # which a pipe, for one, would make wait for ever
        return Unusable("damaged", "no file, but a folder, a device or a link that leads nowhere")
    try:
        pixels = decode(raw / name)
        prepared = prepare(pixels, size, normalise)
    except Unusable as unusable:
        return Unusable(unusable.kind, unusable.reason)  # without the traceback, whose frames hold the pixels
    if prepared.min() == prepared.max():
        return Unusable("damaged", "blank: the central square has one grey level")
    height, width = pixels.shape
    return Prepared(prepared, height, width, digest(pixels))


def _refuse_bad_source(raw: Path, files: Sequence[str], rejected: pd.DataFrame, settings: Preprocess) -> None:
    if not files:
        raise UserError(f"{raw}: no images in it; run the stage download again")
    damaged = rejected[rejected["kind"] == "damaged"]
    if len(damaged) > settings.max_damaged * len(files):
        first = damaged.iloc[0]
        raise UserError(
            f"{raw}: {len(damaged)} of {len(files)} files ({len(damaged) / len(files):.1%}) are damaged, more than "
            f"preprocess.max_damaged {settings.max_damaged:g} allows; the first is {first['file']}: {first['reason']}"
        )
    if len(rejected) == len(files):
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(Counter(rejected["kind"]).items()))
        first = rejected.iloc[0]
        raise UserError(f"{raw}: no usable image among {len(files)} ({kinds}); the first, {first['file']}: {first['reason']}")


def _counts(
    files: Sequence[str], usable: pd.DataFrame, used: pd.DataFrame, rejected: pd.DataFrame
) -> dict[str, dict[str, int]]:
    found = Counter(name.split("/")[0] for name in files)
    use, useful = Counter(used["class"]), Counter(usable["class"])
    aside = Counter(zip(rejected["kind"], rejected["class"], strict=True))
    classes = sorted(found)
    return {
        "found": {group: found[group] for group in classes},
        "used": {group: use[group] for group in classes},
        "left_out": {group: useful[group] - use[group] for group in classes},
        "damaged": {group: aside["damaged", group] for group in classes},
        "too_small": {group: aside["too small", group] for group in classes},
        "duplicate": {group: aside["duplicate", group] for group in classes},
    }
