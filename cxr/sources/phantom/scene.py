"""Chest radiographs of small children, drawn from first principles.

Each is the shadow that a body of known thicknesses casts: Beer and Lambert's law I = I0 exp(-sum of mu_i t_i) over the
tissues along each ray, then scatter, the detector's blur, quantum noise and the display curve of a digital system.
Modelled: soft tissue of trunk, neck, shoulders and arms; lungs; heart, great vessels and windpipe; diaphragm and stomach
gas; spine, twelve pairs of ribs, clavicles, shoulder blades; branching vessels and airways; a lead marker; consolidation
(bacterial) and interstitial thickening (viral). Not modelled: beam spectrum and hardening, the cone of the beam, motion,
devices, and any disease but these. No phantom shows a person, and none is fit to learn a diagnosis from.

Anatomy is in millimetres: x towards the image's right (the patient's left), y down, z towards the front, the origin in the
midline near the fifth thoracic vertebra. Sides are -1 (the patient's right, left in the image) and 1.
"""

from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from cxr.foundation.workers import in_order
from cxr.sources.phantom.anatomy import Disease, Image, Subject, stream
from cxr.sources.phantom.detector import detect, display, intensity
from cxr.sources.phantom.drawing import View
from cxr.sources.phantom.settings import Phantom
from cxr.sources.phantom.tissues import attenuation

IMAGES = (1, 2, 1, 3, 2, 1, 1, 1)  # images of each of eight patients in turn; the second and sixth show no pneumonia


class Drawn(NamedTuple):
    """A drawn radiograph: 8-bit grey of shape (size, size), its class and its file name."""

    pixels: Image
    klass: Literal["NORMAL", "PNEUMONIA"]
    name: str


def write(folder: Path, phantom: Phantom, processes: int) -> None:
    """Write `phantom.images` radiographs as `folder`/{NORMAL,PNEUMONIA}/NAME.jpeg, the same bytes for any `processes`."""
    for klass in ("NORMAL", "PNEUMONIA"):
        (folder / klass).mkdir(parents=True, exist_ok=True)
    job = partial(_write_one, folder, phantom.seed, phantom.size)
    drawn = in_order(job, range(phantom.images), processes, "", folder)
    for _ in tqdm(drawn, "drawing", phantom.images, unit="image", disable=None):
        pass


def _write_one(folder: Path, seed: int, size: int, index: int) -> None:
    radiograph = draw(seed, index, size)
    _, jpeg = cv2.imencode(".jpeg", radiograph.pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])
    (folder / radiograph.klass / radiograph.name).write_bytes(jpeg.tobytes())


def draw(seed: int, index: int, size: int) -> Drawn:
    """Return radiograph `index` of the endless series `seed`, `size` pixels a side; another size shows the same scene."""
    subject = subject_of(index)
    klass: Literal["NORMAL", "PNEUMONIA"] = "NORMAL" if subject.disease == "none" else "PNEUMONIA"
    return Drawn(expose(seed, subject, size), klass, file_name(subject, index))


def subject_of(index: int) -> Subject:
    """Return whose image `index` is: eight patients share twelve images, three of which show no pneumonia."""
    block, rest = divmod(index, sum(IMAGES))
    ends = np.cumsum(IMAGES)
    place = int(np.searchsorted(ends, rest, side="right"))
    patient = block * len(IMAGES) + place
    disease: Disease = "none" if place % 4 == 1 else "virus" if patient % 3 == 0 else "bacteria"
    return Subject(patient, rest - int(ends[place]) + IMAGES[place], disease)


def file_name(subject: Subject, index: int) -> str:
    """Return the name that Kaggle's set would give the image."""
    if subject.disease == "none":
        return f"IM-{subject.patient + 1:04d}-{subject.image + 1:04d}.jpeg"
    return f"person{subject.patient + 1}_{subject.disease}_{index + 1}.jpeg"


def expose(seed: int, subject: Subject, size: int) -> Image:
    """Return the radiograph of `subject`, uint8 (size, size)."""
    view = View.of(seed, subject, size)
    passed = intensity(attenuation(seed, subject, view))
    return display(detect(passed, view, stream(seed, subject.patient, subject.image, "noise")), view)
