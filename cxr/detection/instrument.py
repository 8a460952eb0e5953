"""What a detector tells of one radiograph, and when it tells nothing. No scipy, no pandas."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from cxr.detection.abstaining import ANSWERS, NOT_KNOWN, USUAL, answers
from cxr.detection.detector import Detector
from cxr.detection.explaining import Maps, heat_maps
from cxr.detection.frames import levels, seen
from cxr.formats.note import says_synthetic
from cxr.formats.read import read
from cxr.foundation.errors import RefusedError, UserError

BESIDE = "detect.json"
"""What was measured of a detector, beside its file: a copy of metrics/detect.json."""
EXTERNAL = "external"
"""The group of another source."""


class Told(NamedTuple):
    """What a detector says of a finding."""

    finding: str
    answer: str
    """One of ANSWERS."""
    ratio: tuple[float, float, float] | None
    """How many times as often it gives that answer of radiographs with the finding as of those without, and the 95% interval.

    None of what is not known, and where no interval is known to cover.
    """
    group: str
    """On which radiographs that was measured: of another source, the test radiographs, or, if on none, an empty text."""

    def post_test(self, prevalence: float) -> tuple[float, float, float] | None:
        """Return the probability of the finding where the share `prevalence`, within 0 and 1, of such radiographs has it.

        With its interval, which is that of the ratio alone.
        """
        if self.ratio is None:
            return None
        value, low, high = (prevalence / (1 - prevalence) * each for each in self.ratio)
        return value / (1 + value), low / (1 + low), high / (1 + high)


class Seen(NamedTuple):
    """What a detector says of a radiograph."""

    told: tuple[Told, ...]
    remarks: tuple[str, ...]
    """What the user should know of the file."""
    image: npt.NDArray[np.float32]
    """The radiograph (H, W), 0 black and 1 white."""


class Pointing(NamedTuple):
    """How often heat maps of a finding are greatest in a box of it, of so many patients."""

    patients: int
    hit: tuple[float, float | None, float | None]
    """The share, and its interval, where one is known to cover."""
    randomised: float
    """The share of a network that has learnt nothing."""
    chance: float
    """The share that boxes cover of the central square, which is what the network sees."""


class Measured(NamedTuple):
    """What was measured of a detector on the radiographs of a group, of which it tells anything."""

    finding: str
    group: str
    area: float | None
    """Under the ROC curve, if both classes were there."""
    low: float | None
    """Of the 95% interval of that, where one is known to cover."""
    shortcut: tuple[str, float]
    """What tells the finding best without knowing of disease, and the area of that."""
    ratios: Mapping[str, tuple[float, float, float]]
    """By answer, the likelihood ratio and its interval, where one is known to cover."""
    pointing: Pointing | None
    """None where no radiograph has boxes."""


class Evidence(NamedTuple):
    """What was measured of a detector: metrics/detect.json."""

    measured: tuple[Measured, ...]

    @classmethod
    def of(cls, path: Path, detector: Detector) -> "Evidence":
        """Return what the file `path` says, or nothing where there is none.

        Raises UserError when it is damaged, or of another detector.
        """
        if not path.is_file():
            return cls(())
        try:
            said = json.loads(path.read_text(encoding="utf-8"))
            measured = tuple(_measured(each) for each in said.get("measured", ()))
            digest = next((str(each.get("detector")) for each in said.get("made_with", ())), "")
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            reason = type(error).__name__
            raise UserError(f"{path} is not what the stage detect writes ({reason}); run dvc repro, or name another") from None
        if measured and digest != detector.digest:
            raise UserError(f"{path} is of another detector; run dvc repro, or name the file of this one with --evidence")
        return cls(measured)

    def best(self, finding: str) -> Measured | None:
        """Return what was measured of `finding`: on another source, else on the test radiographs, else nothing."""
        found = [each for each in self.measured if each.finding == finding]
        return max(found, key=lambda each: each.group == EXTERNAL, default=None)

    def pointing(self, finding: str) -> str:
        """Return, in a line, how often heat maps of `finding` point to it: on another source, else on the test radiographs."""
        of = sorted((each for each in self.measured if each.finding == finding and each.pointing), key=_outside_first)
        if not of or not of[0].pointing:
            return f"whether heat maps of {finding} point to it was not measured"
        patients, (value, low, high), random, chance = of[0].pointing
        ends = "no interval" if low is None or high is None else f"{low:.1%} to {high:.1%}"
        where = "another source" if of[0].group == EXTERNAL else "its own source"
        many = f"{patients} patient{'' if patients == 1 else 's'} of {where}"
        beside = f"random weights {random:.1%}, chance {chance:.1%}"
        return f"heat maps of {finding} are greatest in a box of it in {value:.1%} ({ends}) of {many}; {beside}"

    def doubt(self, finding: str) -> str:
        """Return why the detector is not shown to see `finding` outside; "" where it does better there than each shortcut.

        Better: the interval of its area under the ROC curve lies above the areas of all shortcuts that were measured.
        """
        best = self.best(finding)
        if best is None or best.group != EXTERNAL:
            return f"it was not tested for {finding} on radiographs of another source"
        if best.area is None:
            return f"for {finding} too few radiographs of another source are like those that it knows"
        name, shortcut = best.shortcut
        if best.low is not None and best.low > shortcut:
            return ""
        low = "no interval" if best.low is None else f"from {best.low:.3f}"
        return f"for {finding} on another source its AUC is {best.area:.3f} ({low}), that of {name} alone {shortcut:.3f}"


def look(path: Path, detector: Detector, evidence: Evidence, even_so: bool = False) -> Seen:
    """Return what `detector` says of the radiograph's file `path`: JPEG, PNG, TIFF, BMP or DICOM.

    Raises RefusedError where the picture is unlike those that it learnt from, where it learnt from phantoms alone and this is
    none, and, unless `even_so`, where it is not shown to do better outside than shortcuts; Unusable for what cannot be read;
    OSError when the file cannot be opened.
    """
    decoded = read(path)
    if detector.description.get("phantoms") and not says_synthetic(path):
        raise RefusedError("the detector learnt from phantoms alone, and this does not say that it is one; nothing is told")
    doubts = [doubt for finding in detector.findings if (doubt := evidence.doubt(finding))]
    if doubts and not even_so and not detector.description.get("phantoms"):
        raise RefusedError(f"the detector may see no disease: {'; '.join(doubts)}; --even-so uses it")
    image = levels(decoded)
    logits, distance = detector.looks(image)
    if not distance <= detector.usual.farthest:
        far = f"{distance:.2f}, and {USUAL:.0%} of its validation radiographs up to {detector.usual.farthest:.2f}"
        raise RefusedError(f"unlike the radiographs that the detector knows (distance {far}); nothing is told")
    told = tuple(_told(name, logits[number], detector, evidence) for number, name in enumerate(detector.findings))
    side = min(image.shape[-2:])
    small = [f"its {side} pixels, of the shorter side, were enlarged to the {detector.size} that the detector sees"]
    remarks = *decoded.remarks, *(small if side < detector.size else ()), *(f"used even so: {doubt}" for doubt in doubts)
    return Seen(told, remarks, image[0, 0].numpy())


def explain(image: npt.NDArray[np.float32], detector: Detector) -> dict[str, Maps]:
    """Return by finding what in the central square of `image` (H, W), from 0 to 1, speaks for it: (h, w), of any sign.

    Raises UserError where `detector` has no such map.
    """
    square = seen(torch.from_numpy(image)[None, None].to(next(detector.network.parameters()).device), detector.size)
    return dict(zip(detector.findings, heat_maps(detector.network, square), strict=True))


def _told(finding: str, logit: float, detector: Detector, evidence: Evidence) -> Told:
    answer = ANSWERS[answers(np.array([logit]), detector.thresholds[finding], detector.sets[finding])[0]]
    best = evidence.best(finding)
    ratio = best.ratios.get(answer) if best and answer != ANSWERS[NOT_KNOWN] else None
    return Told(finding, answer, ratio, best.group if best and ratio else "")


def _measured(said: Mapping[str, Any]) -> Measured:
    """Return a record of metrics/detect.json. Raises what wrong types raise."""
    answered = said["answered"]
    area = answered["area"] or {"value": None, "low": None}
    shortcuts = {str(each["measure"]).replace("_", " "): float(each["value"]) for each in answered["shortcuts"]}
    best = max(shortcuts, key=lambda name: shortcuts[name], default="")
    ratios = {
        str(each["answer"]): (float(each["value"]), float(each["low"]), float(each["high"]))
        for each in answered["ratios"]
        if each["low"] is not None
    }
    value, low = (None if area[name] is None else float(area[name]) for name in ("value", "low"))
    if (value is None) != (not shortcuts):
        raise ValueError("an area has no shortcuts beside it")
    shortcut = best, shortcuts.get(best, 1.0)
    return Measured(str(said["finding"]), str(said["group"]), value, low, shortcut, ratios, _pointing(said.get("heat_map")))


def _pointing(said: Mapping[str, Any] | None) -> Pointing | None:
    """Return what a record says of heat maps, if anything. Raises what wrong types raise."""
    if not said or not said["images"]:
        return None
    value, low, high = (None if said["hit"][end] is None else float(said["hit"][end]) for end in ("value", "low", "high"))
    if value is None:
        raise ValueError("a share of heat maps has no value")
    return Pointing(int(said["images"]), (value, low, high), float(said["randomised"]["value"]), float(said["chance"]))


def _outside_first(measured: Measured) -> bool:
    return measured.group != EXTERNAL
