"""Measure how well a network tells lesions from mirrored lung, by their diameter, in every way of seeing them.

    python -m benchmarks.lesions ARCHIVE [--scales 2 4] [--rates 0.0005 0.001 0.002] [--seeds 3] [--epochs 60] -o FILE.csv

ARCHIVE is a zip with table.csv (file, mask, patient), grey pictures of 8 bits, and masks of their shapes that are white where a
lesion is projected. A window of SIDE pixels lies around each lesion, and another where its mirror image lies, in the other
lung. Lesions are left out, and counted, whose window leaves the frame, or whose mirrored window shows a lesion, too. Patients
are divided at random: SHARES learn, choose the epoch, and are tested.

`compact` learns windows of the radiographs as they are (`full`), and once more of the same reduced to a shorter side of REDUCED
pixels (`256`), whose windows are brought back to SIDE pixels. Its learning rate is the one of `--rates` whose loss on the
validation windows is least with seed 0. It is tested on windows of the radiographs as they are, and of what the bundled
networks make of copies with 1/scale of their rows and columns. Logits are means over seeds. Diameters are of a disc of the
mask's area, in pixels of the full size, and classes are terciles of the lesions that were learnt from.

Rows have areas under the ROC curve and their differences with intervals by patient, and the least difference that would be
found four times in five; areas of what knows nothing of lesions; counts; and quartiles, over radiographs, of how many dB less
detail they have down than across, at frequencies above a quarter of a cycle a pixel.
"""

import argparse
import csv
import io
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from scipy import ndimage
from torch import Tensor
from tqdm import tqdm

from cxr.compute.checkpoint import Checkpoint
from cxr.compute.memory import keep_freed_memory
from cxr.dataset.packed import Frame
from cxr.dataset.prepare import prepare
from cxr.dataset.settings import Preprocess
from cxr.detection.detector import Network
from cxr.detection.evaluation.report import View
from cxr.detection.frames import levels
from cxr.detection.networks.backbones import COMPACT, backbone
from cxr.detection.settings import Learning
from cxr.detection.training import DECIMALS, Fitted, Images, fit
from cxr.foundation.errors import UserError, one_line_errors
from cxr.foundation.files import whole, write_table
from cxr.measures.areas import Design, area, detectable, difference
from cxr.measures.intervals import Estimate, Floats, outward
from cxr.superres.degradation.reduction import crop_to_multiple
from cxr.superres.evaluation.restore import Restorers
from cxr.superres.methods import BICUBIC, LOW, NAMES, NETWORKS, ORIGINAL
from cxr.superres.model import FOLDERS
from cxr.superres.settings import Degradation

Mask = npt.NDArray[np.bool_]
Pixels = npt.NDArray[np.uint8]

SIDE, REDUCED = 64, 256
FULL, SMALLER = "full", str(REDUCED)
"""How large radiographs are before they are degraded."""
SHARES = {"train": 0.6, "val": 0.15, "test": 0.25}
SEED = 0  # of the division
RATES = 0.0005, 0.001, 0.002
PAIRS = ((LOW, ORIGINAL), *((name, ORIGINAL) for name in NAMES), *((name, BICUBIC) for name in NETWORKS))
HIGH = 0.25  # cycles a pixel, above which detail counts
AREA, DIFFERENCE, SHORTCUT, COUNT, DETAIL, RATE = "area", "difference", "shortcut", "count", "detail", "rate"
"""What a row tells."""
COLUMNS = "what", "form", "diameter", "of", "degradation", "lesions", "patients", "value", "low", "high", "detectable"
ALL = "all"


class Lesion(NamedTuple):
    """Where a lesion's window begins, and its mirrored one."""

    top: int
    left: int
    mirrored: int
    """The left end of the mirrored window."""
    diameter: float


class Radiograph(NamedTuple):
    """One of the archive."""

    name: str
    patient: str
    pixels: Pixels
    """(H, W)."""
    lesions: tuple[Lesion, ...]
    left_out: tuple[int, int]
    """How many lesions have no window, and how many no mirrored window without a lesion."""


class Windows(NamedTuple):
    """Windows around lesions and mirrored ones, by turns: float16 (2 N, 1, SIDE, SIDE) in [0, 1]."""

    pixels: Tensor
    patients: npt.NDArray[np.str_]
    diameters: Floats
    """Of the lesion, of either (2 N,)."""
    right: Mask
    """Whether it is in the right half of the picture (2 N,)."""

    @property
    def shown(self) -> Mask:
        """Return which show a lesion."""
        shown: Mask = np.arange(len(self.patients)) % 2 == 0
        return shown


def found_in(mask: Mask) -> tuple[tuple[Lesion, ...], tuple[int, int]]:
    """Return the lesions in `mask` (H, W), each of connected pixels, and how many are left out, as Radiograph has it."""
    numbered, count = ndimage.label(mask, np.ones((3, 3)))
    height, width = mask.shape
    lesions, leaving, both = [], 0, 0
    for number in range(1, count + 1):
        rows, columns = np.nonzero(numbered == number)
        top, left = (round(float(each.mean() + 0.5)) - SIDE // 2 for each in (rows, columns))
        mirrored = width - SIDE - left
        if top < 0 or left < 0 or top + SIDE > height or left + SIDE > width:
            leaving += 1
        elif mask[top : top + SIDE, mirrored : mirrored + SIDE].any():
            both += 1
        else:
            lesions.append(Lesion(top, left, mirrored, float(np.sqrt(len(rows) * 4 / np.pi))))
    return tuple(lesions), (leaving, both)


def opened(archive: Path, multiple: int) -> Iterator[Radiograph]:
    """Yield the radiographs of `archive`, their last rows and columns cut off that are no multiple of `multiple`.

    Raises UserError where it is damaged, or a mask does not fit.
    """
    with whole(archive), zipfile.ZipFile(archive) as content:
        for each in csv.DictReader(io.TextIOWrapper(content.open("table.csv"), encoding="utf-8")):
            pixels, mask = (
                np.asarray(Image.open(io.BytesIO(content.read(each[name]))).convert("L")) for name in ("file", "mask")
            )
            if pixels.shape != mask.shape:
                raise UserError(f"{archive}: {each['mask']} is {mask.shape}, and {each['file']} {pixels.shape}")
            pixels, mask = (crop_to_multiple(torch.from_numpy(part.copy()), multiple).numpy() for part in (pixels, mask))
            yield Radiograph(each["file"], each["patient"], pixels, *found_in(mask > 0))


def divided(patients: Sequence[str]) -> dict[str, str]:
    """Return by patient which part of SHARES he is in."""
    names = np.random.default_rng(SEED).permutation(sorted(set(patients)))
    ends = np.round(np.cumsum(list(SHARES.values())) * len(names)).astype(int)[:-1]
    return {str(name): part for part, of in zip(SHARES, np.split(names, ends), strict=True) for name in of}


def smaller(radiograph: Radiograph) -> Pixels:
    """Return its pixels as the stage preprocess reduces them to REDUCED."""
    settings = Preprocess(frame="whole", size=REDUCED, normalise="none", limit=1, max_damaged=0, seed=0)
    made: Pixels = prepare(radiograph.pixels, 8, settings).astype(np.uint8)
    return made


def in_frame(image: Tensor, shape: tuple[int, ...], reduced: tuple[int, ...]) -> Tensor:
    """Return `image` (1, 1, H, W), of a radiograph of `shape` that was `reduced`, in that radiograph's frame.

    It may lack last rows and columns, which then repeat. Bicubic.
    """
    lacking = [wanted - there for wanted, there in zip(reduced, image.shape[2:], strict=True)]
    padded = F.pad(image, (0, lacking[1], 0, lacking[0]), mode="replicate")
    if tuple(reduced) == tuple(shape):
        return padded
    return F.interpolate(padded, tuple(shape), mode="bicubic", align_corners=False).clamp(0, 1)


def cut(image: Tensor, lesions: Sequence[Lesion]) -> Tensor:
    """Return the windows of `image` (1, 1, H, W) around `lesions` and the mirrored ones, by turns: (2 N, 1, SIDE, SIDE)."""
    places = [(each.top, left) for each in lesions for left in (each.left, each.mirrored)]
    parts = [image[0, :, top : top + SIDE, left : left + SIDE] for top, left in places]
    return torch.stack(parts).half() if parts else torch.zeros(0, 1, SIDE, SIDE).half()


def originals(radiographs: Sequence[Radiograph], form: str) -> Windows:
    """Return the windows of `radiographs` as they are, in a `form`: FULL or SMALLER."""
    pixels = []
    for each in radiographs:
        shown = each.pixels if form == FULL else smaller(each)
        pixels.append(cut(in_frame(levels(Frame(shown)), each.pixels.shape, shown.shape), each.lesions))
    twice = [(each, lesion, left) for each in radiographs for lesion in each.lesions for left in (lesion.left, lesion.mirrored)]
    right = [left + SIDE / 2 > each.pixels.shape[1] / 2 for each, _, left in twice]
    diameters = [lesion.diameter for _, lesion, _ in twice]
    return Windows(torch.cat(pixels), np.array([each.patient for each, *_ in twice]), np.array(diameters), np.array(right))


def views(radiographs: Sequence[Radiograph], form: str, restorers: Restorers) -> dict[View, Tensor]:
    """Return the windows of `radiographs` by view and degradation, as Windows has them."""
    made: dict[View, list[Tensor]] = {}
    for each in tqdm([each for each in radiographs if each.lesions], form, unit="image", disable=None):
        frame = Frame(each.pixels if form == FULL else smaller(each))
        for degradation in restorers.degradations:
            restored = restorers.restore(frame, each.name, degradation)
            low = restored.low.repeat_interleave(degradation.scale, 2).repeat_interleave(degradation.scale, 3)
            for view, image in {LOW: low, **restored.images}.items():
                seen = in_frame(image.float() / restored.white, each.pixels.shape, frame.pixels.shape)
                made.setdefault((view, degradation.name), []).append(cut(seen, each.lesions))
    return {view: torch.cat(parts) for view, parts in made.items()}


def learnt(train: Windows, val: Windows, settings: Learning, rates: Sequence[float], seeds: int) -> tuple[list[Network], float]:
    """Return a network for each seed that tells lesions, as `train_detector` learns and chooses the epoch, and the rate.

    That is the one of `rates` whose loss on the windows `val` is least with seed 0.
    """
    tried = {rate: fitted(train, val, replace(settings, learning_rate=rate, seed=0)) for rate in rates}
    best = min(tried, key=lambda rate: min(float(row["validation_loss"]) for row in tried[rate].curves))
    others = [fitted(train, val, replace(settings, learning_rate=best, seed=seed)) for seed in range(1, seeds)]
    networks = []
    for each in (tried[best], *others):
        network = Network(backbone(settings.network, SIDE, learnt=False), 1)
        network.load_state_dict(each.weights)
        networks.append(network.eval())
    return networks, best


def fitted(train: Windows, val: Windows, settings: Learning) -> Fitted:
    """Return what `settings` learn from the windows `train`, at the epoch that is best on `val`."""
    shown = [torch.from_numpy(each.shown).float()[:, None] for each in (train, val)]
    parts = [Images(each.pixels, torch.ones_like(of), of) for each, of in zip((train, val), shown, strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Checkpoint(Path(folder), "lesions", {})
        return fit(parts[0], parts[1], settings, torch.device("cpu"), checkpoint, float("inf"))


@torch.inference_mode()
def logits(networks: Sequence[Network], windows: Tensor) -> Floats:
    """Return the mean logits (N,) of `windows` (N, 1, SIDE, SIDE)."""
    found: Floats = torch.stack([network(windows.float())[:, 0] for network in networks]).mean(0).double().numpy()
    return found


def classes(learnt_from: Floats) -> dict[str, tuple[float, float]]:
    """Return by name from which diameter to which each class goes: all, and terciles of those `learnt_from`."""
    low, high = (round(float(each), 1) for each in np.quantile(learnt_from, [1 / 3, 2 / 3]))
    bounds = {f"below {low:g}": (0.0, low), f"{low:g} to {high:g}": (low, high), f"from {high:g}": (high, np.inf)}
    return {ALL: (0.0, np.inf), **bounds}


def row(what: str, of: str, found: Estimate, given: Mapping[str, object]) -> dict[str, object]:
    """Return a row of what is `found`, the ends of its interval outward."""
    ends = dict(zip(("value", "low", "high"), outward(found, DECIMALS), strict=True))
    return {**dict.fromkeys(COLUMNS), "what": what, "of": of, **given, **ends}


def compared(
    scores: dict[View, Floats], tested: Windows, form: str, bounds: dict[str, tuple[float, float]]
) -> list[dict[str, object]]:
    """Return the rows of the logits (2 N,) by view, of which the originals' is (ORIGINAL, "")."""
    rows = []
    for name, (first, behind) in bounds.items():
        of = (tested.diameters >= first) & (tested.diameters < behind)
        design = Design(tested.shown[of], tested.patients[of])
        given = {"form": form, "diameter": name, "lesions": int(of.sum()) // 2, "patients": len(set(design.patients))}
        if not of.any():
            continue
        within = {view: values[of] for view, values in scores.items()}
        rows += [row(AREA, view, area(each, design), {**given, "degradation": at}) for (view, at), each in within.items()]
        for at in dict.fromkeys(degradation for _, degradation in scores if degradation):
            for better, worse in PAIRS:
                both = within[better, at], within[worse, "" if worse == ORIGINAL else at]
                least = {"degradation": at, "detectable": detectable(*both, design)}
                rows.append(row(DIFFERENCE, f"{better}-{worse}", difference(*both, design), {**given, **least}))
    return rows


def shortcuts(tested: Windows) -> list[dict[str, object]]:
    """Return rows of what knows nothing of lesions: the side of the picture, and how bright a window is."""
    design = Design(tested.shown, tested.patients)
    given = {"form": FULL, "diameter": ALL, "lesions": len(tested.shown) // 2, "patients": len(set(tested.patients))}
    measures = {"right half": tested.right.astype(float), "mean level": tested.pixels.float().mean((1, 2, 3)).double().numpy()}
    return [row(SHORTCUT, name, area(each, design), given) for name, each in measures.items()]


def less_down(radiograph: Radiograph) -> float:
    """Return by how many dB its windows have less power down than across, at frequencies above HIGH."""
    windows = originals([radiograph], FULL).pixels[:, 0].double().numpy()
    taper = np.hanning(SIDE)
    tapered = (windows - windows.mean(axis=(1, 2), keepdims=True)) * taper[:, None] * taper
    power = (np.abs(np.fft.fft2(tapered)) ** 2).mean(axis=0)
    fast = np.abs(np.fft.fftfreq(SIDE)) > HIGH
    down, across = power[fast][:, ~fast].sum(), power[~fast][:, fast].sum()
    return float(10 * np.log10(across / down))


def details(radiographs: Sequence[Radiograph]) -> list[dict[str, object]]:
    """Return rows of the quartiles over radiographs of `less_down`."""
    found = [less_down(each) for each in radiographs if each.lesions]
    of = {"lower quartile": 0.25, "median": 0.5, "upper quartile": 0.75}
    return [row(DETAIL, name, Estimate(round(float(np.quantile(found, at)), 1)), {}) for name, at in of.items()]


def counts(radiographs: Sequence[Radiograph], parts: dict[str, str]) -> list[dict[str, object]]:
    """Return rows of how many there are."""
    left_out = np.array([each.left_out for each in radiographs]).sum(axis=0)
    rows = [row(COUNT, "radiographs", Estimate(len(radiographs)), {"patients": len(parts)})]
    rows += [
        row(COUNT, name, Estimate(int(count)), {})
        for name, count in zip(("leave the frame", "mirrored on a lesion"), left_out, strict=True)
    ]
    for part in SHARES:
        of = [each for each in radiographs if parts[each.patient] == part and each.lesions]
        lesions = sum(len(each.lesions) for each in of)
        rows.append(row(COUNT, part, Estimate(lesions), {"lesions": lesions, "patients": len({each.patient for each in of})}))
    return rows


def measured(
    archive: Path, restorers: Restorers, settings: Learning, rates: Sequence[float], seeds: int
) -> list[dict[str, object]]:
    """Return the rows of the CSV, by COLUMNS. Raises UserError where the archive is damaged, or has too few patients."""
    radiographs = list(opened(archive, int(np.lcm.reduce(restorers.scales))))
    parts = divided([each.patient for each in radiographs])
    by_part = {part: [each for each in radiographs if parts[each.patient] == part] for part in SHARES}
    if empty := [part for part, of in by_part.items() if not any(each.lesions for each in of)]:
        raise UserError(f"{archive} has no lesion with a mirrored window in {empty[0]}; it has too few patients")
    rows = [*counts(radiographs, parts), *details(radiographs)]
    for form in (FULL, SMALLER):
        train, val, tested = (originals(of, form) for of in by_part.values())
        networks, rate = learnt(train, val, settings, rates, seeds)
        rows.append(row(RATE, "", Estimate(rate), {"form": form}))
        seen = {(ORIGINAL, ""): tested.pixels, **views(by_part["test"], form, restorers)}
        scores = {view: logits(networks, windows) for view, windows in seen.items()}
        if form == FULL:
            rows += shortcuts(tested)
        rows += compared(scores, tested, form, classes(train.diameters))
    return rows


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("archive", type=Path)
    parser.add_argument("--scales", type=int, nargs="+", choices=(2, 3, 4), default=(2, 4))
    parser.add_argument("--seeds", type=int, default=3, help="trainings, whose logits are averaged")
    parser.add_argument("--rates", type=float, nargs="+", default=RATES, help="learning rates, chosen by the validation loss")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    keep_freed_memory()
    restorers = Restorers(FOLDERS[-1], [Degradation(scale) for scale in given.scales], 0, torch.device("cpu"))
    settings = Learning(COMPACT, 0, given.epochs, 16, RATES[0], 0)
    rows = measured(given.archive, restorers, settings, given.rates, given.seeds)
    for each in rows:
        print(", ".join(f"{name} {value}" for name, value in each.items() if value is not None))
    write_table(given.output, rows)


if __name__ == "__main__":
    with one_line_errors():
        main()
