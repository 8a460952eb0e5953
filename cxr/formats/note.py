"""The note that a result carries, of whatever kind it is."""

from contextlib import suppress
from pathlib import Path

from cxr.formats.container import container
from cxr.formats.decode import Unusable, as_unusable
from cxr.formats.dicom.bounded import bounded
from cxr.formats.dicom.header import is_dicom


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
