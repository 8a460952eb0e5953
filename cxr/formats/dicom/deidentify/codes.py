"""Codes that PS3.16 knows, as pydicom 3 lists them: their meanings are the dictionary's, not the source's."""

import unicodedata
from functools import lru_cache
from typing import Any

from pydicom import Dataset
from pydicom.sr._concepts_dict import concepts as CONCEPTS
from pydicom.sr._snomed_dict import mapping as SNOMED
from pydicom.sr.coding import Code

LONGEST_VALUE, LONGEST_MEANING = 16, 64  # characters of SH and LO (PS3.5, 6.2)


def known_code(item: Dataset) -> Code | None:
    """Return the code of an item of a code sequence (PS3.3, 8.8), if it is known, with a meaning in ASCII that fits an LO."""
    scheme, value = str(item.get("CodingSchemeDesignator") or ""), str(item.get("CodeValue") or "")
    if scheme in {"SRT", "SNM3", "99SDM"}:  # older names, by which SNOMED's codes begin with a letter (PS3.16, 8.1)
        scheme, value = "SCT", SNOMED["SRT"].get(value, "")
    meaning = _meanings(scheme).get(value)
    return Code(value, scheme, meaning) if meaning and len(value) <= LONGEST_VALUE else None


@lru_cache
def _meanings(scheme: str) -> dict[str, str]:
    found: Any = CONCEPTS.get(scheme, {})
    return {value: _plain(str(meaning)) for codes_of in found.values() for value, (meaning, _) in codes_of.items()}


def _plain(meaning: str) -> str:
    """Return `meaning` without accents and what else ASCII lacks, cut to what fits."""
    parted = unicodedata.normalize("NFKD", meaning)
    return parted.encode("ascii", "ignore").decode()[:LONGEST_MEANING]
