"""Which images are used when there are more than wanted: whole patients, findings in proportion."""

from collections.abc import Sequence

import numpy as np
import pandas as pd


def choose(table: pd.DataFrame, limit: int, seed: int) -> list[int]:
    """Return the rows of `table` (columns findings and patient), ascending, that are used: at most `limit`, whole patients.

    Findings, the texts as they stand, keep their proportions, and the rows come as near to the limit as whole patients allow
    once all findings have a patient, if that fits. `seed` decides on the patients. One with several counts for the commonest.
    """
    if len(table) <= limit:
        return list(range(len(table)))
    generator = np.random.default_rng(seed)
    rows_of: dict[str, list[int]] = {}
    for row, name in enumerate(table["patient"]):
        rows_of.setdefault(name, []).append(row)
    patients: dict[str, list[str]] = {}
    for name, rows in rows_of.items():
        patients.setdefault(str(table["findings"].iloc[rows].mode().iloc[0]), []).append(name)
    queue: list[tuple[float, str, str]] = []
    firsts: list[str] = []
    for group in sorted(patients):
        names = [patients[group][i] for i in generator.permutation(len(patients[group]))]
        firsts.append(min(names, key=lambda name: len(rows_of[name])))
        ends = np.cumsum([len(rows_of[name]) for name in names])
        queue += [(end / ends[-1], group, name) for end, name in zip(ends, names, strict=True)]
    taken: list[str] = []
    room = limit
    for name in sorted(firsts, key=lambda name: len(rows_of[name])):
        if len(rows_of[name]) <= room:
            taken.append(name)
            room -= len(rows_of[name])
    # In this order every beginning of the queue has the findings in proportion.
    waiting = [name for _, _, name in sorted(queue) if name not in taken]
    sizes = [len(rows_of[name]) for name in waiting]
    taken += [waiting[i] for i in _fill(sizes, room)]
    return sorted(row for name in taken for row in rows_of[name])


def _fill(sizes: Sequence[int], room: int) -> list[int]:
    """Return the earliest indices whose sizes add up to the most that is possible without exceeding `room`."""
    # Bit s of reachable[i] is set when some of sizes[i:] add up to s.
    reachable = [1]
    mask = (1 << (room + 1)) - 1
    for size in reversed(sizes):
        reachable.append((reachable[-1] | reachable[-1] << size) & mask)
    reachable.reverse()
    left = reachable[0].bit_length() - 1
    chosen = []
    for i, size in enumerate(sizes):
        if size <= left and reachable[i + 1] >> (left - size) & 1:
            chosen.append(i)
            left -= size
    return chosen
