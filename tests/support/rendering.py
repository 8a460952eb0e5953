"""What the page must show, by sums of integers in NumPy: written from its description in docs/web.md, not from its shaders."""

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

UNIT = 65_536
"""Of a position: one pixel."""
FINE = 16
"""Of a value: a grey value of the file."""


@dataclass(frozen=True)
class State:
    """How a radiograph is shown."""

    width: int
    height: int
    x: float
    y: float
    zoom: float
    turns: int = 0
    mirrored: bool = False
    low: float = 0.0
    high: float = 4095.0
    inverse: bool = False
    strength: int = 100
    mode: str = ""
    """swipe, pair, difference, or nothing."""
    swipe: float = 0.5
    original: bool = False
    """Whether the original is held."""


def half_up(value: float) -> int:
    """Return `value` rounded as JavaScript does."""
    return math.floor(value + 0.5)


def keys() -> Ints:
    """Return by 1/256 of a pixel the weights of four neighbours, in 1/1024 (256, 4): Keys' cubic with a = -1/2."""
    rows = []
    for phase in range(256):
        f = phase / 256
        outer = ((-0.5 * f + 1) * f - 0.5) * f, (0.5 * f - 0.5) * f * f
        exact = [outer[0], (1.5 * f - 2.5) * f * f + 1, ((-1.5 * f + 2) * f + 0.5) * f, outer[1]]
        row = [half_up(each * 1024) for each in exact]
        row[1 if f < 0.5 else 2] += 1024 - sum(row)
        rows.append(row)
    return np.array(rows, np.int64)


def places(state: State, width: int, scale: int) -> tuple[Ints, Ints]:
    """Return where the pixels of a screen of `width` lie in the image enlarged by `scale`, in 1/UNIT of its pixels."""
    step = half_up(UNIT / state.zoom)
    column, row = np.meshgrid(np.arange(width), np.arange(state.height))
    along, down = (column, row)
    for _ in range(state.turns % 4):  # a quarter turn of the picture to the right moves what was above to the right
        along, down = down, -along
    # From the middle of the screen, in halves of a screen pixel.
    middle_along, middle_down = width - 1, state.height - 1
    for _ in range(state.turns % 4):
        middle_along, middle_down = middle_down, -middle_along
    if state.mirrored:
        along, middle_along = -along, -middle_along
    found = []
    for steps, middle, centre in ((along, middle_along, state.x), (down, middle_down, state.y)):
        if state.zoom == int(state.zoom):  # on whole pixels of the image enlarged so many times
            pixel = half_up((centre - middle * step / 2 / UNIT) * state.zoom - 0.5)
            first = half_up(((pixel + 0.5) / state.zoom * scale - 0.5) * UNIT)
        else:
            first = half_up((centre * scale - 0.5) * UNIT) + math.floor(-middle * step * scale / 2)
        found.append(first + steps * step * scale)
    return found[0], found[1]


def resampled(values: Ints, x: Ints, y: Ints, step: int) -> Ints:
    """Return `values` (H, W) at places, in 1/FINE: by four neighbours a side, or where the screen shrinks by a mean."""
    rows, columns = values.shape

    def at(down: Ints, across: Ints) -> Ints:
        return values[down.clip(0, rows - 1), across.clip(0, columns - 1)]

    if step <= UNIT:
        weights = keys()
        down, across = weights[(y >> 8) & 255], weights[(x >> 8) & 255]
        total = np.zeros_like(x)
        for j in range(4):
            line = sum(across[..., i] * at((y >> 16) + j - 1, (x >> 16) + i - 1) for i in range(4))
            total += down[..., j] * ((line + 32) >> 6)
        return ((total + 512) >> 10).clip(0, 65_535 * FINE)
    count = min(-(-step // UNIT), 4)
    part = step // (2 * count)
    left, top = x + UNIT // 2 - step // 2, y + UNIT // 2 - step // 2
    total = np.zeros_like(x)
    for j in range(count):
        for i in range(count):
            total += at((top + (2 * j + 1) * part) >> 16, (left + (2 * i + 1) * part) >> 16)
    return (total * 2 * FINE + count**2) // (2 * count**2)


def rendered(
    state: State,
    values: Ints,
    enhanced: Ints | None = None,
    there: npt.NDArray[np.bool_] | None = None,
    table: Ints | None = None,
) -> npt.NDArray[np.uint8]:
    """Return the picture (H, W) of `values` and, if any, of the `enhanced` ones, of which only those that are `there` count."""
    if state.mode == "pair" and enhanced is not None:
        half = state.width // 2
        left = replace(state, width=half, mode="", original=True)
        right = replace(state, width=half, mode="", original=state.original)
        both = [rendered(left, values, enhanced, there, table), rendered(right, values, enhanced, there, table)]
        rest = np.zeros((state.height, state.width - 2 * half), np.uint8)
        return np.concatenate([*both, rest], axis=1)
    step = half_up(UNIT / state.zoom)
    x, y = places(state, state.width, 1)
    inside = (x + UNIT // 2 >> 16 >= 0) & (x + UNIT // 2 >> 16 < values.shape[1])
    inside &= (y + UNIT // 2 >> 16 >= 0) & (y + UNIT // 2 >> 16 < values.shape[0])
    plain = resampled(values, x, y, step)
    before = np.full(plain.shape, state.original or enhanced is None)
    if state.mode == "swipe" and enhanced is not None:
        before |= np.arange(state.width) < half_up(state.swipe * state.width)
    whole = np.ones(plain.shape, bool)
    better = plain
    if enhanced is not None:
        scale = enhanced.shape[0] // values.shape[0]
        there = np.ones(enhanced.shape, bool) if there is None else there
        x, y = places(state, state.width, scale)
        found = resampled(enhanced, x, y, step * scale)
        whole = _all_there(there, x, y, step * scale)
        better = np.where(whole, found, plain)
        better = (plain * (100 - state.strength) + better * state.strength + 50) // 100
    grey = _grey(state, np.where(before, plain, better), table)
    if state.mode == "difference" and enhanced is not None:
        width = _window(state)[1]
        change = _looked_up(better, table) - _looked_up(plain, table)
        change = -change if state.inverse else change
        grey = np.where(before, grey, (128 * width + change * 1020).clip(0, 255 * width) // width)
    column, from_below = np.meshgrid(np.arange(state.width), np.arange(state.height)[::-1])
    dots = ~whole & ~before & ((column % 16 == 0) | (from_below % 16 == 0)) & ((column + from_below) % 4 == 0)
    grey = np.where(dots, np.where(grey < 128, 255, 0), grey)
    return np.where(inside, grey, 0).astype(np.uint8)


def _all_there(there: npt.NDArray[np.bool_], x: Ints, y: Ints, step: int) -> npt.NDArray[np.bool_]:
    """Return where all that a place is made of is there."""
    rows, columns = there.shape
    if step <= UNIT:
        steps = [(j - 1, i - 1) for j in range(4) for i in range(4)]
        at = [((y >> 16) + j, (x >> 16) + i) for j, i in steps]
    else:
        count = min(-(-step // UNIT), 4)
        part = step // (2 * count)
        left, top = x + UNIT // 2 - step // 2, y + UNIT // 2 - step // 2
        at = [((top + (2 * j + 1) * part) >> 16, (left + (2 * i + 1) * part) >> 16) for j in range(count) for i in range(count)]
    return np.all([there[down.clip(0, rows - 1), across.clip(0, columns - 1)] for down, across in at], axis=0)


def _window(state: State) -> tuple[int, int]:
    width = min(max(state.high - state.low, 0.25), 250_000)
    return half_up(((state.low + state.high) / 2 - width / 2) * FINE), max(half_up(width * FINE), 1)


def _looked_up(fine: Ints, table: Ints | None) -> Ints:
    return fine if table is None else table[((fine + FINE // 2) >> 4).clip(0, 65_535)] * FINE


def _grey(state: State, fine: Ints, table: Ints | None) -> Ints:
    low, width = _window(state)
    above = (_looked_up(fine, table) - low).clip(0, width)
    grey = (above * 510 + width) // (2 * width)
    return 255 - grey if state.inverse else grey
