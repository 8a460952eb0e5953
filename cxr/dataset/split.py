"""Training, validation and test patients."""

import warnings

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from cxr.dataset.settings import Split
from cxr.foundation.errors import UserError

PARTS = ("train", "val", "test")

_FINEST = 100  # folds at most: fractions are met to the hundredth


def split(table: pd.DataFrame, shares: Split) -> pd.DataFrame:
    """Put every image of `table` (columns id, class, patient) in one part: all images of a patient in the same one.

    scikit-learn's StratifiedGroupKFold makes folds of equal size and equal shares of the classes; a part is a number of
    folds, as few as meet `shares` best (ten for 0.8, 0.1 and 0.1). With few patients there are fewer and coarser folds.
    Returns the columns id and split ("train", "val" or "test") in the order of `table`.
    Raises UserError when there are too few patients for three parts.
    """
    patients = table["patient"].nunique()
    if patients < len(PARTS):
        raise UserError(f"{patients} patients cannot be split into {', '.join(PARTS)}; get more images")
    # scikit-learn wants at least one class with an image for each fold; so few images as that are split regardless of class.
    strata = table["findings"] if table["findings"].value_counts().max() >= len(PARTS) else pd.Series(0, table.index)
    folds = _folds(shares, min(_FINEST, patients, int(strata.value_counts().max())))
    kfold = StratifiedGroupKFold(n_splits=sum(folds), shuffle=True, random_state=shares.seed)
    with warnings.catch_warnings():
        # A class with fewer images than there are folds is missing from some of them: no harm, since parts are unions.
        warnings.simplefilter("ignore", UserWarning)
        parts = np.repeat(("test", "val", "train"), (folds[2], folds[1], folds[0]))
        assigned = np.empty(len(table), dtype=object)
        for part, (_, rows) in zip(parts, kfold.split(table, strata, table["patient"]), strict=True):
            assigned[rows] = part
    assert set(assigned) == set(PARTS), "there is a patient for each fold, and scikit-learn fills empty folds first"
    return pd.DataFrame({"id": table["id"].to_numpy(), "split": assigned})


def counts(table: pd.DataFrame, parts: pd.DataFrame) -> dict[str, dict[str, dict[str, int]]]:
    """Count {"images" and "patients": {part: {class: n}}} of `table` (id, class, patient) under `parts` (id, split)."""
    joined = table.merge(parts, on="id", validate="one_to_one")
    classes = sorted(joined["findings"].unique())

    def by_class(column: str, part: str) -> dict[str, int]:
        chosen = joined[joined["split"] == part]
        return {name: int(chosen.loc[chosen["findings"] == name, column].nunique()) for name in classes}

    return {
        "images": {part: by_class("id", part) for part in PARTS},
        "patients": {part: by_class("patient", part) for part in PARTS},
    }


def _folds(shares: Split, most: int) -> tuple[int, int, int]:
    """Return how many equal folds, `most` in all, come nearest to the shares (train, val, test): the fewest that do."""
    wanted = np.array([shares.train, shares.val, shares.test])
    best: tuple[float, np.ndarray] | None = None
    for total in range(len(PARTS), most + 1):
        each = np.maximum(1, np.floor(wanted * total + 1e-9).astype(int))
        while each.sum() < total:
            each[np.argmax(wanted * total - each)] += 1
        while each.sum() > total:
            each[np.argmax(np.where(each > 1, each - wanted * total, -np.inf))] -= 1
        error = float(np.abs(each / total - wanted).max())
        if best is None or error < best[0] - 1e-9:
            best = error, each
    assert best is not None
    train, val, test = (int(count) for count in best[1])
    return train, val, test
