"""Where a network may be used, as it was measured: `limits.csv` beside its file."""

import csv
import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy.typing as npt

from cxr.foundation.errors import UserError
from cxr.superres.enhance import Levels, as_seen
from cxr.superres.estimation.arrival import NEAR_QUALITY, Arrival, arrived
from cxr.superres.methods import TITLES
from cxr.superres.model import Model

FILE = "limits.csv"
COLUMNS = ("network", "digest", "scale", "condition", "noise", "rough", "jpeg", "cap", "why", "findings")
NEAR_NOISE = 1.2
"""How far off what is found of noise may be, times."""
ANATOMY = 3.3
"""What radiographs without noise have at medium frequencies, where there is least, at most, in grey levels of 255."""


class Row(NamedTuple):
    """What was measured of a network in a condition at a scale."""

    condition: str
    noise: float
    """Standard deviation at the middle of the range that an estimator finds, in grey levels of 255."""
    rough: float
    """Root mean square of the noise at medium frequencies: correlated noise has more of them than is found of it."""
    jpeg: int
    """Quality; 0 for none."""
    cap: float
    """The greatest strength at which no harm was measured (`tools.limits`); 0 where there is none."""
    why: str
    """What it harms at its full strength."""
    findings: bool = True
    """Whether that was looked for in small findings, or need not be."""

    @property
    def noisy(self) -> bool:
        """Tell whether there was noise, of which JPEG may hide all."""
        return bool(self.noise or self.rough)

    def covers(self, arrival: Arrival) -> bool:
        """Tell whether it has at least the noise of `arrival`, by all that is found of that."""
        level, rough = arrival.weighed
        return self.noise * NEAR_NOISE >= level and math.hypot(self.rough * NEAR_NOISE, ANATOMY) >= rough

    def near(self, arrival: Arrival) -> bool:
        """Tell whether it has no more noise than `arrival` may have."""
        level, rough = arrival.weighed
        return self.noise <= level * NEAR_NOISE and self.rough <= math.hypot(rough * NEAR_NOISE, ANATOMY)


class Limit(NamedTuple):
    """How strongly a network may be used on a radiograph."""

    cap: float
    """From 0, not at all, to 1."""
    why: str
    """The reason, where that is less than 1."""
    known: bool
    """Whether it was measured at all."""
    findings: bool = True
    """Whether that is so of small findings, too."""

    def unknown(self, arrival: Arrival, name: str) -> str:
        """Return what is to be said of what was not measured of the network `name`; nothing where there is nothing to say."""
        if not self.known:
            return f"; how {name} does on such radiographs was not measured" if arrival.spoilt else ""
        return "" if self.findings else f"; what {name} does to small findings there was not measured"


def limit(model: Model, scale: int, arrival: Arrival) -> Limit:
    """Return how strongly `model` may be used at `scale` on what came in as `arrival` tells.

    If it is noisy, of conditions with noise the mildest counts that is as noisy, within NEAR_NOISE, and any other within
    that; of those with JPEG, with noise and without, the mildest of at least as low a quality, within
    NEAR_QUALITY; where pixels show JPEG of a quality that cannot be told, those of the lowest; where a header alone says that
    there was loss, the mildest; and always those with neither, since blur is not told. All count where edges have steps.
    The least of their caps is returned; 0 beyond all, with a flaw, and where noise cannot be told.
    Raises UserError when the file of limits is damaged.
    """
    rows = measured(model, scale)
    if not rows:
        return Limit(1.0, "", known=False)
    title = TITLES[model.name]
    noisy = [row for row in rows if row.noisy and not row.jpeg]
    if why := _refusal(noisy, arrival, title):
        return Limit(0.0, why, known=True)
    counted = [row for row in rows if not row.noisy and not row.jpeg]
    if arrival.noisy:
        covering = [row for row in noisy if row.covers(arrival)]
        if not covering:
            return Limit(0.0, _beyond(noisy, arrival, title), known=True)
        counted += _mildest(covering, lambda row: math.hypot(row.noise, row.rough))
        counted += [row for row in covering if row.near(arrival)]
    if arrival.quality is not None:
        enough = [row for row in rows if row.jpeg and row.jpeg <= arrival.quality + NEAR_QUALITY]
        compressed, both = ([row for row in enough if row.noisy == noisy] for noisy in (False, True))
        if not compressed:
            least = min((row.jpeg for row in rows if row.jpeg and not row.noisy), default=100)
            return Limit(0.0, f"its JPEG quality is below the {least} that {title} was measured with", known=True)
        # JPEG hides noise, so that conditions with both count, whatever is found of it.
        counted += [*_mildest(compressed, lambda row: -row.jpeg), *_mildest(both, lambda row: -row.jpeg)]
    elif arrival.shows:
        least = min((row.jpeg for row in rows if row.jpeg), default=0)
        counted += [row for row in rows if row.jpeg and row.jpeg == least]
    elif arrival.lossy:
        counted += _mildest([row for row in rows if row.jpeg], lambda row: -row.jpeg)
    if arrival.jagged:
        why = f"it may do harm: {title} was not measured with steps in edges"
        counted += [row._replace(why=why, findings=False) for row in rows]
    strictest = min(counted, key=lambda row: row.cap, default=Row("", 0, 0, 0, 1.0, ""))
    return Limit(strictest.cap, strictest.why, known=True, findings=all(row.findings for row in counted))


def limit_of(model: Model, image: npt.NDArray[Levels], scale: int = 2, bits: int | None = None) -> Limit:
    """Return how strongly `model` may be used at `scale` on `image` (H, W), of the kinds and range that `enhance` takes.

    `enhance` itself minds no limits: give it `strength=limit_of(...).cap`. Files are `enhance_file`'s, which minds them, and
    the tables of a JPEG as well.
    Raises what `enhance` raises for such images, and UserError when the file of limits is damaged.
    """
    return limit(model, scale, arrived(as_seen(image, bits)))


def _mildest(rows: Sequence[Row], severity: Callable[[Row], float]) -> list[Row]:
    """Return those of `rows` of the least severity: several of one, and none of none."""
    least = min(map(severity, rows), default=0.0)
    return [row for row in rows if severity(row) == least]


def _refusal(noisy: Sequence[Row], arrival: Arrival, name: str) -> str:
    """Return what speaks against `name`, whatever else was found, or "". Much noise looks like a flaw, so it comes first."""
    if arrival.noisy and _louder(noisy, arrival):
        return _beyond(noisy, arrival, name)
    if arrival.flaw:
        return f"{name} was not measured with {arrival.flaw}"
    return f"whether {name} may be used cannot be told" if arrival.noise is None else ""


def _beyond(noisy: Sequence[Row], arrival: Arrival, name: str) -> str:
    if any(row.covers(arrival._replace(contrast=1.0)) for row in noisy):
        return f"it uses so little of its range that it may have more noise than {name} was measured with"
    if _louder(noisy, arrival):
        return f"its noise is beyond the {_most(noisy):.1f} grey levels that {name} was measured with"
    return f"its noise is coarser than any that {name} was measured with"


def _most(noisy: Sequence[Row]) -> float:
    return max((row.noise for row in noisy), default=0.0)


def _louder(noisy: Sequence[Row], arrival: Arrival) -> bool:
    """Tell whether `arrival` has more noise than any of `noisy`, however much of its range it uses."""
    return not any(row.covers(arrival) for row in noisy) and arrival.weighed[0] > _most(noisy) * NEAR_NOISE


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
            found = float(line["noise"]), float(line["rough"])
            yield Row(line["condition"], *found, int(line["jpeg"]), cap, line["why"], line["findings"] == "1")
