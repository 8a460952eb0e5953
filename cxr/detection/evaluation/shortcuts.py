"""What tells classes apart without knowing of disease: a detector that does no better may have learnt nothing else."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
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
METADATA = "age", "sex", "view", "spacing", "collection"
"""Columns of the table, where it knows them: numbers as they are, and of texts how often each goes with the finding."""


@dataclass(frozen=True)
class Shortcuts:
    """Measures of N radiographs."""

    single: dict[str, Floats]
    """By name (N,)."""
    texts: dict[str, npt.NDArray[np.str_]]
    """What the table says in words, by name (N,)."""
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
        return cls({**shape, "sharpness": sharp, **_numbers(data.table)}, _texts(data.table), thumbnails)

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
        found |= {name: _shares(texts, rows, shown) for name, texts in self.texts.items()}
        reader = make_pipeline(StandardScaler(), LogisticRegression(C=REGULARISED, max_iter=1000))
        reader.fit(self.thumbnails[rows], shown[rows])
        return {**found, "thumbnail": np.asarray(reader.decision_function(self.thumbnails), float)}


def _numbers(table: pd.DataFrame) -> dict[str, Floats]:
    """Return by name what the table tells in numbers; of whom it does not tell, the median."""
    found = {}
    for name in METADATA:
        numbers = pd.to_numeric(table[name], errors="coerce") if name in table else pd.Series(dtype=float)
        said = (table[name].astype(str).str.strip() != "") if name in table else numbers.notna()
        if numbers.nunique() > 1 and numbers[said].notna().all():
            found[name] = numbers.fillna(numbers.median()).to_numpy(float)
    return found


def _texts(table: pd.DataFrame) -> dict[str, npt.NDArray[np.str_]]:
    """Return by name what the table tells in words, an empty one where it does not tell."""
    given = {name: table[name].astype(str).str.strip().to_numpy(str) for name in METADATA if name in table}
    return {name: texts for name, texts in given.items() if len(set(texts)) > 1 and name not in _numbers(table)}


def _shares(texts: npt.NDArray[np.str_], rows: Integers, shown: Truths) -> Floats:
    """Return for each of `texts` (N,) which share of the `rows` with that text is `shown`; of one that none has, of all."""
    among = pd.Series(shown[rows].astype(float)).groupby(texts[rows]).mean()
    return np.array([among.get(text, shown[rows].mean()) for text in texts], float)
