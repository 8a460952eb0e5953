"""The note that a result carries, of whatever kind it is."""

from contextlib import suppress
from pathlib import Path

from cxr.formats.container import container
from cxr.formats.decode import Unusable, as_unusable
from cxr.formats.dicom.header import is_dicom


def note_in(path: Path) -> str:
    """Return the note in the file `path`: of DICOM its DerivationDescription, else as `container` says; "" without one.

    Raises OSError when the file cannot be opened.
    """
    if not is_dicom(path):
        return container(path).note
    from pydicom import dcmread  # noqa: PLC0415 - who has no DICOM need not wait for it

    with path.open("rb") as file, suppress(Unusable), as_unusable():
        data = dcmread(file, force=True, stop_before_pixels=True, specific_tags=["DerivationDescription"])
        return str(data.get("DerivationDescription") or "")
    return ""
