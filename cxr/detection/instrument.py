"""What a detector tells of one radiograph, and when it tells nothing. No scipy, no pandas."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cxr.detection.abstaining import ANSWERS, NOT_KNOWN, USUAL, answers
from cxr.detection.detector import Detector
from cxr.detection.frames import levels
from cxr.formats.note import says_synthetic
from cxr.formats.read import read
from cxr.foundation.errors import RefusedError, UserError
from cxr.foundation.files import whole

BESIDE = "detect.json"
"""What was measured of a detector, beside its file: a copy of metrics/detect.json."""
EXTERNAL, ORIGINAL = "external", "original"
"""The group of another source, and the view, in what was measured."""


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


class Evidence(NamedTuple):
    """What was measured of a detector: metrics/detect.json."""

    measured: tuple[Mapping[str, Any], ...]

    @classmethod
    def of(cls, path: Path, detector: Detector) -> "Evidence":
        """Return what the file `path` says, or nothing where there is none.

        Raises UserError when it is damaged, or of another detector.
        """
        if not path.is_file():
            return cls(())
        with whole(path):
            said = json.loads(path.read_text(encoding="utf-8"))
            measured = tuple(said.get("measured", ()))
            digest = next((str(each.get("detector")) for each in said.get("made_with", ())), "")
        if measured and digest != detector.digest:
            raise UserError(f"{path} is of another detector; run dvc repro, or name the file of this one with --evidence")
        return cls(measured)

    def best(self, finding: str) -> Mapping[str, Any]:
        """Return what was measured of `finding`: on another source, else on the test radiographs, else nothing."""
        found = [each for each in self.measured if each["finding"] == finding and "ratios" in each]
        return max(found, key=lambda each: each["group"] == EXTERNAL, default={})

    def doubt(self, finding: str) -> str:
        """Return why the detector is not shown to see `finding` outside; "" where it does better there than each shortcut.

        Better: the interval of its area under the ROC curve lies above the areas of all shortcuts.
        """
        best = self.best(finding)
        if best.get("group") != EXTERNAL or "areas" not in best:
            return f"it was not tested for {finding} on radiographs of another source"
        (area,) = [each for each in best["areas"] if each["view"] == ORIGINAL]
        shortcut = max(best["shortcuts"], key=lambda each: float(each["value"]))
        if area["low"] is not None and area["low"] > shortcut["value"]:
            return ""
        low = "no interval" if area["low"] is None else f"from {area['low']:.3f}"
        of_shortcut = f"{shortcut['measure'].replace('_', ' ')} alone {shortcut['value']:.3f}"
        return f"for {finding} on another source its AUC is {area['value']:.3f} ({low}), that of {of_shortcut}"


def look(path: Path, detector: Detector, evidence: Evidence, even_so: bool = False) -> Seen:
    """Return what `detector` says of the radiograph's file `path`: JPEG, PNG, TIFF, BMP or DICOM.

    Raises RefusedError where the picture is unlike those that it learnt from, where it learnt from phantoms alone and this is
    none, and, unless `even_so`, where it is not shown to do better outside than shortcuts; Unusable for what cannot be read;
    OSError when the file cannot be opened.
    """
    if detector.description.get("phantoms") and not says_synthetic(path):
        raise RefusedError("the detector learnt from phantoms alone, and this does not say that it is one; nothing is told")
    doubts = [doubt for finding in detector.findings if (doubt := evidence.doubt(finding))]
    if doubts and not even_so and not detector.description.get("phantoms"):
        raise RefusedError(f"the detector may see no disease: {'; '.join(doubts)}; --even-so uses it")
    decoded = read(path)
    logits, distance = detector.looks(levels(decoded))
    if not distance <= detector.usual.farthest:
        far = f"{distance:.2f}, and {USUAL:.0%} of its validation radiographs up to {detector.usual.farthest:.2f}"
        raise RefusedError(f"unlike the radiographs that the detector knows (distance {far}); nothing is told")
    told = tuple(_told(name, logits[number], detector, evidence) for number, name in enumerate(detector.findings))
    return Seen(told, (*decoded.remarks, *(f"used even so: {doubt}" for doubt in doubts)))


def _told(finding: str, logit: float, detector: Detector, evidence: Evidence) -> Told:
    answer = ANSWERS[answers(np.array([logit]), detector.thresholds[finding], detector.sets[finding])[0]]
    best = evidence.best(finding)
    for ratio in best.get("ratios", ()):
        if ratio["answer"] == answer != ANSWERS[NOT_KNOWN] and ratio["low"] is not None:
            return Told(finding, answer, (ratio["value"], ratio["low"], ratio["high"]), str(best["group"]))
    return Told(finding, answer, None, "")
