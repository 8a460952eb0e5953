"""What concerns the elements of a DICOM data set at every depth of its sequences (DICOM PS3.5, 7.5)."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from pydicom import DataElement, Dataset
from pydicom.datadict import dictionary_has_tag, dictionary_VR, keyword_for_tag
from pydicom.dataelem import RawDataElement
from pydicom.filewriter import correct_ambiguous_vr_element
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

from cxr.formats.decode import Unusable

DEEPEST = 32
"""Sequences within sequences, of which pydicom would take minutes to write more; a structured report has ten or so."""
UNDEFINED = 0xFFFFFFFF
ICON = "IconImageSequence"
WORDS = {
    **dict.fromkeys(("AT", "OW", "SS", "US"), "u2"),
    **dict.fromkeys(("FL", "OF", "OL", "SL", "UL"), "u4"),
    **dict.fromkeys(("FD", "OD", "OV", "SV", "UV"), "u8"),
}
"""By value representation, the words whose bytes have an order (PS3.5, 7.3)."""


def items(data: Dataset, depth: int = 1, lenient: bool = False) -> Iterator[tuple[BaseTag, Sequence]]:
    """Yield each sequence of `data`, which lies `depth` - 1 sequences deep, that has items.

    Raises Unusable where sequences are nested more than DEEPEST deep, and, unless `lenient`, for what should be a sequence and
    is none.
    """
    for tag in list(data.keys()):  # not the elements: each stays the bytes that it was read as until it is asked for
        if data.get_item(tag).VR == "SQ" or (dictionary_has_tag(tag) and dictionary_VR(tag) == "SQ"):
            try:
                found = data[tag].value or ()
                broken = bool(found) and not isinstance(found, Sequence)
            except Exception:  # broken bytes lead pydicom anywhere
                found, broken = (), True
            if broken and not lenient:
                raise Unusable("damaged", f"{keyword_for_tag(tag) or tag} is no sequence")
            if broken or not found:
                continue
            if depth > DEEPEST:
                raise Unusable("damaged", f"sequences nested more than {DEEPEST} deep")
            yield tag, found


def drop_compressed(data: Dataset, depth: int = 1) -> bool:
    """Remove icons, and whatever pixels are compressed, since no uncompressed file can hold them (PS3.5, A.4).

    An item of a sequence is left out as a whole, and a sequence without items, too. Return whether `data` held such pixels.
    """
    data.pop(ICON, None)
    compressed = [tag for tag in list(data.keys()) if _is_compressed(data.get_item(tag))]
    for tag in compressed:
        del data[tag]
    for tag, found in items(data, depth):
        kept = [item for item in found if not drop_compressed(item, depth + 1)]
        if not kept:
            del data[tag]
        elif len(kept) < len(found):
            data[tag].value = kept
    return bool(compressed)


def _is_compressed(element: Any) -> bool:
    """Tell whether only fragments (PS3.5, A.4), and neither a length nor items, tell where the value of `element` ends."""
    raw = isinstance(element, RawDataElement)
    return element.VR != "SQ" and (element.length == UNDEFINED if raw else bool(element.is_undefined_length))


def turn_little_endian(data: Dataset, big: bool = True, depth: int = 1) -> None:
    """Let `data` of a big-endian file, which the standard has given up but archives hold, be that of a little-endian one.

    `big` tells the order of what does not tell its own. Text is not decoded: it keeps its bytes, whatever they are.
    """
    order = data.original_encoding[1]
    big = big if order is None else not order
    for _, found in items(data, depth):
        for item in found:
            turn_little_endian(item, big, depth + 1)
    for tag in list(data.keys()):
        element: Any = data.get_item(tag)
        if isinstance(element, RawDataElement):
            if not element.is_little_endian:
                _put(data, element._replace(value=_turned(element), is_little_endian=True))
        elif big and element.VR in WORDS and isinstance(element.value, bytes):
            element.value = _turned(element)
    data.set_original_encoding(data.original_encoding[0], True)


def turn_explicit(data: Dataset, depth: int = 1) -> None:
    """Let items of `data` that were read without value representations, as those of an unknown sequence are, have some.

    PS3.5, 6.2.2, note 5 lets them lie in explicit files. Text keeps its bytes; private elements become unknown ones.
    """
    for _, found in items(data, depth):
        for item in found:
            if item.original_encoding[0]:
                for tag in list(item.keys()):
                    _say_kind(item, tag)
                item.set_original_encoding(False, True)
            turn_explicit(item, depth + 1)


def _say_kind(item: Dataset, tag: BaseTag) -> None:
    element: Any = item.get_item(tag)
    if not isinstance(element, RawDataElement):
        return
    creates = tag.is_private and 0x10 <= tag.element <= 0xFF  # PS3.5, 7.8.1
    kind = "LO" if creates else dictionary_VR(tag) if dictionary_has_tag(tag) else "UN"
    if kind == "SQ":
        item[tag].value  # noqa: B018 - understood now, while it is said how its items were written
    elif " or " in kind:  # of numbers, and of pixels
        correct_ambiguous_vr_element(item[tag], item, True)
    else:
        _put(item, element._replace(VR=kind, is_implicit_VR=False))


def _put(data: Dataset, element: RawDataElement) -> None:
    """Let `data` hold `element` as it is: by its public ways, private elements and who made them would be understood."""
    data._dict[element.tag] = element


def _turned(element: DataElement | RawDataElement) -> bytes | None:
    """Return the bytes of `element`, each word of them turned."""
    kind = WORDS.get(str(element.VR))
    if not element.value or kind is None:
        return element.value
    if len(element.value) % np.dtype(kind).itemsize:
        raise Unusable(
            "damaged", f"{element.tag} has {len(element.value)} bytes, which are no whole numbers of kind {element.VR}"
        )
    return np.frombuffer(element.value, kind).byteswap().tobytes()
