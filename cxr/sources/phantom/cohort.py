"""Which patients the endless series of phantoms shows, what is ill in them, and what each image is called."""

from typing import NamedTuple

from cxr.sources.phantom.anatomy import Kind, Subject


class Member(NamedTuple):
    """A patient of a block: how many images there are, and what is ill; pneumonia comes from bacteria or viruses by turns."""

    images: int
    ill: tuple[str, ...]


HEALTHY, PNEUMONIA, TUBERCULOSIS, NODULE = (), ("pneumonia",), ("tuberculosis",), ("nodule",)

BLOCKS = (
    (
        *(Member(1, TUBERCULOSIS), Member(2, HEALTHY), Member(1, NODULE), Member(3, PNEUMONIA)),
        *(Member(2, PNEUMONIA), Member(1, HEALTHY), Member(1, TUBERCULOSIS), Member(1, NODULE)),
    ),
    (
        *(Member(1, PNEUMONIA), Member(2, NODULE), Member(1, HEALTHY), Member(3, PNEUMONIA)),
        *(Member(2, HEALTHY), Member(1, TUBERCULOSIS), Member(1, PNEUMONIA), Member(1, TUBERCULOSIS)),
    ),
    (
        *(Member(1, HEALTHY), Member(2, PNEUMONIA), Member(1, NODULE), Member(3, PNEUMONIA)),
        *(Member(2, (*TUBERCULOSIS, *NODULE)), Member(1, HEALTHY), Member(1, NODULE), Member(1, HEALTHY)),
    ),
    (
        *(Member(1, NODULE), Member(2, TUBERCULOSIS), Member(1, PNEUMONIA), Member(3, HEALTHY)),
        *(Member(2, PNEUMONIA), Member(1, PNEUMONIA), Member(1, NODULE), Member(1, (*PNEUMONIA, *NODULE))),
    ),
)
"""Four blocks of eight patients and twelve images, in turn.

In each 3 images show no disease, 5 pneumonia, 2 tuberculosis and 2 nodules; in the last two blocks 3 of these show a nodule as
well. Each finding is found in patients with one image and with two.
"""
PATIENTS, IMAGES = 8, 12


def subject_of(index: int) -> Subject:
    """Return whose image `index`, from 0, is."""
    block, image = divmod(index, IMAGES)
    members = BLOCKS[block % len(BLOCKS)]
    place = 0
    while image >= members[place].images:
        image -= members[place].images
        place += 1
    patient = PATIENTS * block + place
    germ: Kind = "virus" if patient % 3 == 0 else "bacteria"
    kinds: dict[str, Kind] = {"pneumonia": germ, "tuberculosis": "tuberculosis", "nodule": "nodule"}
    return Subject(patient, image, tuple(kinds[ill] for ill in members[place].ill))


def patient_of(subject: Subject) -> str:
    """Return the name of the patient, such as phantom-0029."""
    return f"phantom-{subject.patient + 1:04d}"


def name_of(index: int) -> str:
    """Return the name of an image without suffix, such as phantom-0029-bacteria-45: patient, kind, and number from 1."""
    subject = subject_of(index)
    return f"{patient_of(subject)}-{subject.kinds[0] if subject.kinds else 'normal'}-{index + 1}"
