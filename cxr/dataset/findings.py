"""What a radiograph shows: texts such as `NORMAL` or `NODULE|PNEUMONIA`, empty where nobody has said."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from cxr.sources.table import BETWEEN

UNKNOWN = "unknown"
"""What pictures and counts call findings that nobody has told."""


def several(findings: str) -> tuple[str, ...]:
    """Return each of `findings`.

    >>> several("NODULE|PNEUMONIA"), several("")
    (('NODULE', 'PNEUMONIA'), ('unknown',))
    """
    return tuple(findings.split(BETWEEN)) if findings else (UNKNOWN,)


def names(findings: Iterable[str]) -> list[str]:
    """Return all that there is in `findings`, sorted."""
    return sorted({name for each in set(findings) for name in several(each)})


def having(findings: Iterable[str], name: str) -> npt.NDArray[np.bool_]:
    """Return which of `findings` (N,) hold `name`, perhaps among others."""
    return np.array([name in several(each) for each in findings], bool)
