"""How many bits of a file's depth were measured: 12 bits in a file of 16 are 4,096 levels, and white is 4,095."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cxr.formats.decode import Grey, Opened
from cxr.foundation.errors import UserError

DEPTHS = 8, 10, 12, 14, 16
"""Of detectors and of files, in bits."""
FEW = 64
"""Levels. Fewer are a sign of a radiograph that was cut down on its way."""
TOO_FEW = f"fewer than {FEW}"
"""How the remark on such ends."""


class Measured(NamedTuple):
    """Grey levels and the depth that they were measured with."""

    levels: Grey
    """(H, W), of the file's own dtype, 0 black and 2**(bits + shift) - 1 white."""
    bits: int
    shift: int
    """How far the measured bits are moved up to fill the file's depth, as PNG asks for."""
    remarks: tuple[str, ...]


def holding(largest: int) -> int:
    """Return the least of DEPTHS that holds the value `largest`, which is below 65,536."""
    return next(bits for bits in DEPTHS if largest < 1 << bits)


def in_bits(levels: NDArray[Any], bits: int) -> Grey:
    """Return `levels` as the dtype that holds `bits`: uint8 of up to 8, else uint16."""
    return levels.astype(np.uint8) if bits <= 8 else levels.astype(np.uint16)


def used(levels: NDArray[Any]) -> int:
    """Return how many different values `levels` has."""
    seen = np.zeros(1 << 16, bool)
    for row in levels:  # one by one, since an index takes eight bytes a pixel
        seen[row] = True
    return int(seen.sum())


def few(levels: Grey) -> tuple[str, ...]:
    """Return a remark where `levels` has fewer than FEW different values."""
    count = used(levels)
    return () if count >= FEW else (f"{count} grey {'level' if count == 1 else 'levels'} in use, {TOO_FEW}",)


def measured(found: Opened, path: Path, asked: int | None = None) -> Measured:
    """Return the levels of an image file with their depth.

    That is `asked` bits, or, of a file of 16 bits, what its sBIT chunk says, or else the least of DEPTHS that holds its
    greatest value. `path` is for the messages alone.
    Raises UserError when a value, or the file, does not fit with `asked`.
    """
    container, largest = 8 * found.levels.dtype.itemsize, int(found.levels.max())
    remarks: tuple[str, ...] = ("several pages, of which the first is taken",) if found.several else ()
    bits, shift = container, 0
    if asked is not None:
        refuse_beyond(path, asked, container, largest)
        bits = asked
    elif container == 16:
        bits, shift, said = _found(found, largest)
        remarks += said
    turned = found.levels
    if found.white_is_zero:
        turned = in_bits((1 << bits) - 1 - found.levels.astype(np.int32), container)
    return Measured(turned, bits, shift, remarks + few(turned))


def refuse_beyond(path: Path, asked: int, container: int, largest: int) -> None:
    """Raise UserError when `path`, of `container` bits and values up to `largest`, cannot be one of `asked` bits."""
    if asked > container:
        raise UserError(f"{path}: {asked} bits are asked for, but the file holds {container}; give {container} or fewer")
    if largest >= 1 << asked:
        most = f"{(1 << asked) - 1:,}, the most that {asked} bits hold"
        raise UserError(f"{path}: values up to {largest:,} exceed {most}; give {largest.bit_length()} bits or more")


def _found(found: Opened, largest: int) -> tuple[int, int, tuple[str, ...]]:
    """Return the bits of a file of 16, how far they are moved up, and what to say of them."""
    said = found.significant
    if said is not None and said <= 16:
        if largest < 1 << said:
            return said, 0, (f"{said} bits of 16, as its sBIT says",) if said < 16 else ()
        if used(found.levels >> 16 - said) == used(found.levels):
            return said, 16 - said, (f"{said} bits, spread over 16, as its sBIT says",)
    bits = holding(largest)
    if said is not None:
        return bits, 0, (f"sBIT says {said} bits, but there are more levels; taken as {bits} bits",)
    return bits, 0, (f"values up to {largest:,}, so taken as {bits} bits of 16",) if bits < 16 else ()
