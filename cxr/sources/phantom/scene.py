"""Chest radiographs of small children, drawn from first principles.

Each is the shadow that a body of known thicknesses casts: Beer and Lambert's law I = I0 exp(-sum of mu_i t_i) over the
tissues along each ray, then scatter, the detector's blur, quantum noise and the display curve of a digital system.
Modelled: soft tissue of trunk, neck, shoulders and arms; lungs; heart, great vessels and windpipe; diaphragm and stomach
gas; spine, twelve pairs of ribs, clavicles, shoulder blades; branching vessels and airways; consolidation (bacterial) and
interstitial thickening (viral); upper-lobe opacities with cavities, satellite nodules and strands (tuberculosis); nodules,
smooth and spiculated, also behind heart and diaphragm; wide frames with arms and air beside the chest; postero-anterior views
and antero-posterior ones, which enlarge the heart; a lead marker that reads SYNTHETIC, and R or L. Not modelled: beam spectrum
and hardening, the cone of the beam, motion, devices, and any disease but these. No phantom shows a person, and none is fit to
learn a diagnosis from.

Anatomy is in millimetres: x towards the image's right (the patient's left), y down, z towards the front, the origin in the
midline near the fifth thoracic vertebra. Sides are -1 (the patient's right, left in the image) and 1.
"""

from functools import partial
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from cxr.foundation.workers import in_order
from cxr.sources import table
from cxr.sources.phantom.anatomy import FINDINGS, Anatomy, Pixels, Subject, stream
from cxr.sources.phantom.cohort import name_of, patient_of, subject_of
from cxr.sources.phantom.detector import detect, display, intensity
from cxr.sources.phantom.dicom import write_dicom
from cxr.sources.phantom.disease import Box
from cxr.sources.phantom.pictures import write_jpeg, write_png
from cxr.sources.phantom.settings import Phantom
from cxr.sources.phantom.tissues import attenuation
from cxr.sources.phantom.view import View

FOLDERS = ("NORMAL", *dict.fromkeys(FINDINGS.values()))


class Drawn(NamedTuple):
    """A drawn radiograph: grey levels (size, width), uint8, or uint16 for more than 8 bits, and a box around each lesion."""

    pixels: Pixels
    boxes: tuple[Box, ...]


def write(folder: Path, phantom: Phantom, processes: int) -> None:
    """Write `phantom.images` radiographs as `folder`/FINDING/NAME, and `table.csv`, the same bytes for any `processes`.

    FINDING, one of FOLDERS, is a patient's first; NAME is as `cohort.name_of` has it, for DICOM the SOP Instance UID.
    """
    for finding in FOLDERS:
        (folder / finding).mkdir(parents=True, exist_ok=True)
    drawn = in_order(partial(_write_one, folder, phantom), range(phantom.images), processes, "", folder)
    table.write(folder, list(tqdm(drawn, "drawing", phantom.images, unit="image", disable=None)))


def _write_one(folder: Path, phantom: Phantom, index: int) -> table.Listed:
    """Write radiograph `index`, and return its line of the table."""
    subject = subject_of(index)
    radiograph = draw(phantom.seed, index, phantom.size, phantom.bits)
    listed = _listed(phantom, subject, radiograph.boxes)
    place, name = folder / subject.findings[0], name_of(index)
    match phantom.format:
        case "jpeg":
            name += ".jpeg"
            write_jpeg(place / name, radiograph.pixels)
        case "png":
            name += ".png"
            write_png(place / name, radiograph.pixels, phantom.bits)
        case "dicom":
            key = f"{phantom.seed} {phantom.size} {phantom.bits} {name}"
            name = write_dicom(place, radiograph.pixels, phantom.bits, listed, key)
    file = f"{subject.findings[0]}/{name}"
    return listed._replace(file=file, name=file)


def _listed(phantom: Phantom, subject: Subject, boxes: tuple[Box, ...]) -> table.Listed:
    """Return what the table tells of a radiograph, but for its file."""
    anatomy, view = Anatomy.of(phantom.seed, subject.patient), View.of(phantom.seed, subject, phantom.size)
    return table.Listed(
        file="",
        name="",
        patient=patient_of(subject),
        findings=table.BETWEEN.join(subject.findings),
        view=view.projection,
        age=str(anatomy.age),
        sex=anatomy.sex,
        spacing=f"{view.pixel:.6g}",
        boxes=table.BETWEEN.join(f"{box.finding} " + " ".join(f"{share:.6f}" for share in box[1:]) for box in boxes),
    )


def draw(seed: int, index: int, size: int, bits: int = 8) -> Drawn:
    """Return radiograph `index` of the endless series `seed`, `size` pixels high; another size shows the same scene."""
    return expose(seed, subject_of(index), size, bits)


def expose(seed: int, subject: Subject, size: int, bits: int = 8) -> Drawn:
    """Return the radiograph of `subject`."""
    view = View.of(seed, subject, size)
    line_integral, boxes = attenuation(seed, subject, view)
    noise = stream(seed, subject.patient, subject.image, "noise")
    return Drawn(display(detect(intensity(line_integral), view, noise), view, bits), boxes)
