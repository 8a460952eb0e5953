"""Where a network may be used, as it was measured: `limits.csv` beside its file."""

import csv
from collections.abc import Iterable
from typing import NamedTuple

from cxr.foundation.errors import UserError
from cxr.superres.estimation.arrival import QUIET, Arrival
from cxr.superres.model import Model

FILE = "limits.csv"
COLUMNS = ("network", "digest", "scale", "condition", "noise", "jpeg", "cap", "why", "findings")
NEAR_NOISE, NEAR_QUALITY = 1.2, 5
"""How far off what is found of noise (times) and of quality may be."""


class Row(NamedTuple):
    """What was measured of a network in a condition at a scale."""

    condition: str
    noise: float
    """Standard deviation at the middle of the range, in grey levels of 255."""
    jpeg: int
    """Quality; 0 for none."""
    cap: float
    """The greatest strength at which no harm was measured (`tools.limits`); 0 where there is none."""
    why: str
    """What it harms at its full strength."""


class Limit(NamedTuple):
    """How strongly a network may be used on a radiograph."""

    cap: float
    """From 0, not at all, to 1."""
    why: str
    """The reason, where that is less than 1."""
    known: bool
    """Whether it was measured at all."""


def limit(model: Model, scale: int, arrival: Arrival) -> Limit:
    """Return how strongly `model` may be used at `scale` on what came in as `arrival` tells.

    Of the conditions with noise, the mildest counts that is at least as noisy; of those with JPEG, with noise and without, the
    mildest of at least as low a quality; where a header says that there was loss, and the pixels tell no quality, the mildest;
    and always those with neither, since blur is not told. The least of their caps is returned; 0 beyond all.
    Raises UserError when the file of limits is damaged.
    """
    rows = measured(model, scale)
    if not rows:
        return Limit(1.0, "", known=False)
    counted = [row for row in rows if not row.noise and not row.jpeg]
    if arrival.level >= QUIET:
        noisy = [row for row in rows if row.noise and not row.jpeg]
        covering = [row for row in noisy if row.noise * NEAR_NOISE >= arrival.level]
        if not covering:
            most = max((row.noise for row in noisy), default=0.0)
            return Limit(0.0, f"its noise is beyond the {most:.1f} grey levels that {model.name} was measured with", known=True)
        counted.append(min(covering, key=lambda row: row.noise))
    if arrival.quality is not None:
        compressed = [row for row in rows if row.jpeg and not row.noise]
        covering = [row for row in compressed if row.jpeg <= arrival.quality + NEAR_QUALITY]
        if not covering:
            least = min((row.jpeg for row in compressed), default=100)
            return Limit(0.0, f"its JPEG quality is below the {least} that {model.name} was measured with", known=True)
        counted.append(max(covering, key=lambda row: row.jpeg))
        # JPEG hides noise, so that conditions with both count, whatever is found of it.
        both = [row for row in rows if row.jpeg and row.noise and row.jpeg <= arrival.quality + NEAR_QUALITY]
        counted += [row for row in both if row.jpeg == max(each.jpeg for each in both)]
    elif arrival.lossy:
        counted += [row for row in rows if row.jpeg and row.jpeg == max(each.jpeg for each in rows)]
    strictest = min(counted, key=lambda row: row.cap, default=Row("", 0, 0, 1.0, ""))
    return Limit(strictest.cap, strictest.why, known=True)


def measured(model: Model, scale: int) -> list[Row]:
    """Return what was measured of `model` at `scale`: nothing, if it was not. Raises UserError when the file is damaged."""
    path = model.path and model.path.with_name(FILE)
    if not path or not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(_rows(csv.DictReader(file), model.digest, scale))
    except (ValueError, TypeError, KeyError, csv.Error) as error:
        raise UserError(f"{path} is damaged ({error}); restore it, or make it anew with python -m tools.limits") from None


def _rows(lines: Iterable[dict[str, str]], digest: str, scale: int) -> Iterable[Row]:
    for line in lines:
        if line["digest"] == digest and int(line["scale"]) == scale:
            cap = float(line["cap"])
            if not 0 <= cap <= 1:
                raise ValueError(f"a cap of {cap:g}")
            yield Row(line["condition"], float(line["noise"]), int(line["jpeg"]), cap, line["why"])
