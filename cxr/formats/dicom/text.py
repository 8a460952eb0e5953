"""Text of DICOM elements, which some writers encode otherwise than Specific Character Set says (DICOM PS3.5, 6.1)."""

from typing import Any

from pydicom import Dataset
from pydicom.charset import convert_encodings
from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag, Tag

from cxr.formats.decode import Unusable

MOST = {"LO": 64, "ST": 1024}
"""Characters, which no text of fewer bytes exceeds."""


def append(data: Dataset, name: str, between: str, text: str) -> None:
    """Append `between` and `text`, both ASCII, to the LO or ST element `name`, and leave the bytes that it has as they are.

    Every character set that DICOM knows holds ASCII, and is back at it at a value's end. Where both do not fit, the element
    stays as it is.
    """
    tag = Tag(tag_for_keyword(name) or 0)
    kind = dictionary_VR(tag)
    before = _bytes(data, tag)
    value = (before.rstrip(b" \0") + between.encode() if before.strip(b" \0") else b"") + text.encode()
    if len(value) > MOST[kind]:
        if before.strip(b" \0"):
            return
        value = value[: MOST[kind]]
    value += b" " * (len(value) % 2)
    implicit, little = data.original_encoding
    data[tag] = RawDataElement(tag, kind, len(value), value, 0, bool(implicit), little is not False)


def as_ascii(data: Dataset, tag: BaseTag) -> str:
    """Return the text of an element, other characters than ASCII replaced, and "" without it.

    The element stays as it was read: pydicom keeps what it has understood, and writes it anew, which costs the bytes of text
    that is not in the character set of the file.
    """
    return _bytes(data, tag).decode("ascii", "replace").strip(" \0")


def _bytes(data: Dataset, tag: BaseTag) -> bytes:
    """Return the text of an element as it was read, or as it would be written.

    Raises Unusable("damaged") when it is a sequence or numbers.
    """
    if tag not in data:
        return b""
    element: Any = data.get_item(tag)
    if isinstance(element, RawDataElement):
        return element.value or b""
    values = [element.value] if isinstance(element.value, str) else list(element.value or ())
    if not all(isinstance(value, str) for value in values):
        raise Unusable("damaged", f"{keyword_for_tag(tag) or tag} is no text")
    return "\\".join(values).encode(_encodings(data)[0], "strict")


def _encodings(data: Dataset) -> list[str]:
    return convert_encodings(data.get("SpecificCharacterSet") or data._character_set or "ISO_IR 6")
