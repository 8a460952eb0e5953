"""What tells classes apart without knowing of disease: a detector that does no better may have learnt nothing else."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

from cxr.dataset.packed import Dataset, Integers
from cxr.detection.frames import levels, seen
from cxr.measures.areas import placed
from cxr.measures.discrimination import sharpness
from cxr.measures.intervals import Floats, Truths

THUMBNAIL = 16
"""Rows and columns of a picture too small to show a lesion."""
REGULARISED = 0.01
"""Inverse strength of the penalty on the weights of what reads thumbnails."""
METADATA = "age", "sex", "view", "spacing"
"""Columns of the table, where it knows them."""


@dataclass(frozen=True)
class Shortcuts:
    """Measures of N radiographs."""

    single: dict[str, Floats]
    """By name (N,)."""
    thumbnails: Floats
    """(N, THUMBNAIL**2 + 5): a tiny picture, and mean, deviation, and three quantiles of the levels."""

    @classmethod
    def of(cls, data: Dataset, rows: Integers) -> "Shortcuts":
        """Return the measures of the radiographs in `rows` of `data`; of others 0."""
        native = data.table[["native_rows", "native_columns"]].to_numpy(float)
        sharp, thumbnails = np.zeros(len(data.images)), np.zeros((len(data.images), THUMBNAIL**2 + 5))
        for row in tqdm(rows, "shortcuts", unit="image", disable=None):
            image = levels(data.images[row])
            sharp[row] = sharpness(image[0, 0].numpy() * 255)
            small = seen(image, THUMBNAIL).double().numpy().ravel()
            quantiles = np.quantile(image.numpy(), (0.05, 0.5, 0.95))
            thumbnails[row] = np.concatenate([small, [float(image.mean()), float(image.std())], quantiles])
        shape = {"native_size": native.min(axis=1), "width_over_height": native[:, 1] / native[:, 0]}
        return cls({**shape, "sharpness": sharp, **_told(data.table)}, thumbnails)

    @property
    def sharpness(self) -> Floats:
        """Return the sharpness of each (N,)."""
        return self.single["sharpness"]

    def directed(self, rows: Integers, shown: Truths) -> dict[str, Floats]:
        """Return all measures by name (N,), so that greater ones speak for what is `shown` (N,): learnt on `rows` alone."""
        found = {}
        for name, values in self.single.items():
            way = np.sign(float(placed(values[rows], shown[rows]).area) - 0.5)
            found[name] = way * values
        reader = make_pipeline(StandardScaler(), LogisticRegression(C=REGULARISED, max_iter=1000))
        reader.fit(self.thumbnails[rows], shown[rows])
        return {**found, "thumbnail": np.asarray(reader.decision_function(self.thumbnails), float)}


def _told(table: pd.DataFrame) -> dict[str, Floats]:
    """Return what the table tells of each radiograph besides findings, where it tells the same thing of all."""
    found = {}
    for name in METADATA:
        if name not in table or (table[name].astype(str).str.strip() == "").any():
            continue
        numbers = pd.to_numeric(table[name], errors="coerce")
        values = numbers if numbers.notna().all() else pd.Series(pd.factorize(table[name].astype(str), sort=True)[0])
        if values.nunique() > 1 and (numbers.notna().all() or values.nunique() == 2):
            found[name] = values.to_numpy(float)
    return found
