"""The table of how good each method is on each test image."""

from pathlib import Path

import pandas as pd

from cxr.foundation.files import whole

COLUMNS = ("image", "findings", "patient", "bits", "model", "degradation", "psnr", "ssim", "inconsistency")


def read(path: Path) -> pd.DataFrame:
    """Return the table that evaluate wrote to `path`: a row for each image, model and degradation, with at least COLUMNS.

    psnr is in dB, inconsistency in grey levels. Raises UserError when it is missing, or is not what evaluate writes.
    """
    with whole(path):
        table = pd.read_csv(path, dtype={"image": str, "patient": str, "findings": str}, keep_default_na=False)
        if missing := [name for name in COLUMNS if name not in table]:
            raise KeyError(f"no column {missing[0]}")
    return table
