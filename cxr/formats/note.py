"""The note that a result carries, of whatever kind it is."""

from contextlib import suppress
from pathlib import Path

from cxr.formats.container import container
from cxr.formats.decode import Unusable, as_unusable
from cxr.formats.dicom.bounded import bounded
from cxr.formats.dicom.header import is_dicom

SYNTHETIC = "SYNTHETIC"
"""What phantoms say of themselves, in a note or in their header."""


def says_synthetic(path: Path) -> bool:
    """Tell whether the file `path` says that it shows a phantom. Raises OSError when it cannot be opened."""
    if not is_dicom(path):
        return SYNTHETIC in container(path).note
    with path.open("rb") as file, suppress(Unusable), as_unusable():
        data = bounded(file, stop_before_pixels=True, specific_tags=["PatientName", "PatientID"])
        return any(SYNTHETIC in str(data.get(name) or "") for name in ("PatientName", "PatientID"))
    return False


def note_in(path: Path) -> str:
    """Return the note in the file `path`: of DICOM what its last equipment did, else as `container` says; "" without one.

    Raises OSError when the file cannot be opened.
    """
    if not is_dicom(path):
        return container(path).note
    with path.open("rb") as file, suppress(Unusable), as_unusable():
        data = bounded(file, stop_before_pixels=True, specific_tags=["ContributingEquipmentSequence"])
        return str(data.ContributingEquipmentSequence[-1].get("ContributionDescription") or "")
    return ""
