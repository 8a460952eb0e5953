"""Training, validation and test patients."""

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from cxr.dataset.settings import Split
from cxr.foundation.errors import UserError

PARTS = ("train", "val", "test")
EXTERNAL = "external"
"""The part that nothing trains or chooses on."""

UNKNOWN = "unknown"
"""What tables of counts call findings that nothing tells."""

_FINEST = 100  # folds at most: fractions are met to the hundredth
_MOST_SECLUDED_FIRST = (EXTERNAL, "test", "val", "train")


def wishes(table: pd.DataFrame) -> tuple[pd.Series, list[str]]:
    """Return the part that each patient of `table` (columns patient, split_wish) is wanted in, "" for none.

    By patient, in the order of their names, and with the patients who are wanted in several parts: they go whole to the most
    secluded one, which is external, test, val and train in this order.
    """
    wanted = table[table["split_wish"] != ""].groupby("patient")["split_wish"].agg(set)
    chosen = wanted.map(lambda parts: next(part for part in _MOST_SECLUDED_FIRST if part in parts))
    names = sorted(table["patient"].unique())
    return chosen.reindex(names, fill_value=""), sorted(wanted.index[wanted.map(len) > 1])


def split(table: pd.DataFrame, shares: Split) -> pd.DataFrame:
    """Put every image of `table` (columns id, findings, patient, split_wish) in one part: all of a patient in the same one.

    Patients who are wanted in test, val or external go there (`wishes`). Of test and val, those that nobody is wanted in are
    drawn from the others, in the proportions of `shares`; who is then left is for training.
    scikit-learn's StratifiedGroupKFold makes folds of equal size and equal shares of the findings, as texts; a part is a number
    of folds, as few as meet the shares best (ten for 0.8, 0.1 and 0.1). With few patients there are fewer and coarser folds.
    Returns the columns id and split ("train", "val", "test" or "external") in the order of `table`.
    Raises UserError when there are too few patients for three parts.
    """
    parts = table["patient"].map(wishes(table)[0]).to_numpy(dtype=object)
    inside = parts != EXTERNAL
    patients = table.loc[inside, "patient"].nunique()
    if patients < len(PARTS):
        besides = f", besides {table.loc[~inside, 'patient'].nunique()} external ones," if not inside.all() else ""
        raise UserError(f"{patients} patients{besides} cannot be split into {', '.join(PARTS)}; get more images")
    drawn = ["train", *(part for part in PARTS[1:] if part not in parts)]
    left = inside & ~np.isin(parts, [part for part in PARTS[1:] if part not in drawn])
    patients = table.loc[left, "patient"].nunique()
    if patients < len(drawn):
        raise UserError(
            f"{patients} patients are left for {' and '.join(drawn)} by the table's split; want fewer in the others"
        )
    parts[left] = _draw(table[left], drawn, shares)
    return pd.DataFrame({"id": table["id"].to_numpy(), "split": parts})


def own_patients(table: pd.DataFrame) -> int:
    """Return how many images of `table` (id, patient) are a patient of their own, since nothing tells whom they show."""
    return int((table["id"] == table["patient"]).sum())


def _draw(table: pd.DataFrame, parts: Sequence[str], shares: Split) -> NDArray[np.object_]:
    """Return which of `parts`, train first, each image of `table` (columns findings, patient) is in."""
    # scikit-learn wants at least one stratum with an image for each fold; so few images as that are split regardless of it.
    strata = table["findings"] if table["findings"].value_counts().max() >= len(parts) else pd.Series(0, table.index)
    wanted = np.array([getattr(shares, part) for part in parts])
    most = min(_FINEST, table["patient"].nunique(), int(strata.value_counts().max()))
    folds = _folds(wanted / wanted.sum(), most)
    if len(parts) == 1:
        return np.full(len(table), parts[0], dtype=object)
    kfold = StratifiedGroupKFold(n_splits=sum(folds), shuffle=True, random_state=shares.seed)
    with warnings.catch_warnings():
        # A stratum with fewer images than there are folds is missing from some of them: no harm, since parts are unions.
        warnings.simplefilter("ignore", UserWarning)
        of_folds = np.repeat(parts[::-1], folds[::-1])
        assigned = np.empty(len(table), dtype=object)
        for part, (_, rows) in zip(of_folds, kfold.split(table, strata, table["patient"]), strict=True):
            assigned[rows] = part
    assert set(assigned) == set(parts), "there is a patient for each fold, and scikit-learn fills empty folds first"
    return assigned


def counts(table: pd.DataFrame, parts: pd.DataFrame) -> dict[str, dict[str, dict[str, int]]]:
    """Count {"images" and "patients": {part: {findings: n}}} of `table` (id, findings, patient) under `parts` (id, split).

    Findings are counted as the text that they are, UNKNOWN where there are none; external is there when an image is in it.
    """
    joined = table.merge(parts, on="id", validate="one_to_one")
    joined["findings"] = joined["findings"].replace("", UNKNOWN)
    names = sorted(joined["findings"].unique())
    present = [*PARTS, EXTERNAL] if EXTERNAL in set(joined["split"]) else PARTS

    def by_findings(column: str, part: str) -> dict[str, int]:
        chosen = joined[joined["split"] == part]
        return {name: int(chosen.loc[chosen["findings"] == name, column].nunique()) for name in names}

    return {
        "images": {part: by_findings("id", part) for part in present},
        "patients": {part: by_findings("patient", part) for part in present},
    }


def _folds(wanted: NDArray[np.float64], most: int) -> list[int]:
    """Return how many equal folds, `most` in all, come nearest to the shares `wanted`, of sum 1: the fewest that do."""
    best: tuple[float, NDArray[np.int_]] | None = None
    for total in range(len(wanted), most + 1):
        each = np.maximum(1, np.floor(wanted * total + 1e-9).astype(int))
        while each.sum() < total:
            each[np.argmax(wanted * total - each)] += 1
        while each.sum() > total:
            each[np.argmax(np.where(each > 1, each - wanted * total, -np.inf))] -= 1
        error = float(np.abs(each / total - wanted).max())
        if best is None or error < best[0] - 1e-9:
            best = error, each
    assert best is not None
    return [int(count) for count in best[1]]
