"""The test images as the networks restored them: kept when they are measured, so that nobody has to restore them again."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
import torch

from cxr.dataset.packed import Dataset, Frame, Frames, begins, digest
from cxr.foundation.errors import UserError
from cxr.foundation.files import whole, write_json, write_table
from cxr.superres.evaluation.observed import Restored, as_levels, degraded
from cxr.superres.methods import NETWORKS
from cxr.superres.settings import Degradation

IDENTITIES, MEASURED = "images.csv", "measured.json"


class Writer:
    """Arrays that grow by an image at a time: written, not mapped, so that a full disk is an error and no crash."""

    def __init__(self, files: Mapping[tuple[str, Degradation], BinaryIO], dtype: np.dtype[np.generic]) -> None:
        self.files, self.dtype = files, dtype

    def add(self, restored: Restored, degradation: Degradation) -> None:
        """Write what the networks made of the next image at `degradation`."""
        for network in NETWORKS:
            self.files[network, degradation].write(restored.images[network].cpu().numpy().astype(self.dtype).tobytes())


class Archive:
    """What each of NETWORKS made of the test images: one array for each network and degradation, and a table of the ids."""

    def __init__(self, ids: Sequence[str], images: Mapping[tuple[str, Degradation], Frames], seed: int) -> None:
        self.images, self.seed = images, seed
        self.degradations = tuple(dict.fromkeys(degradation for _, degradation in images))
        self.positions = {identity: position for position, identity in enumerate(ids)}

    @classmethod
    @contextmanager
    def writer(cls, folder: Path, data: Dataset, degradations: Sequence[Degradation], seed: int) -> Iterator[Writer]:
        """Yield a writer, into `folder`, of what is made of the test images of `data`, in their order; noise is of `seed`."""
        rows = data.rows("test")
        write_table(folder / IDENTITIES, [{"id": identity} for identity in data.table["id"].iloc[rows]])
        write_json(folder / MEASURED, {"seed": seed, "degradations": [each._asdict() for each in degradations]})
        dtype = data.images.pixels.dtype
        with ExitStack() as stack:
            files = {}
            for degradation in degradations:
                size = int(_shapes(data, degradation).prod(axis=1).sum())
                header = {"descr": dtype.newbyteorder("<").str, "fortran_order": False, "shape": (size,)}
                for network in NETWORKS:
                    file = stack.enter_context(_file(folder, network, degradation).open("wb"))
                    np.lib.format.write_array_header_1_0(file, header)
                    files[network, degradation] = file
            yield Writer(files, dtype.newbyteorder("<"))

    @classmethod
    def open(cls, folder: Path, data: Dataset) -> "Archive":
        """Return what a writer has written to `folder` of the test images of `data`.

        Raises UserError when an array is missing or damaged, or is of other images.
        """
        rows = data.rows("test")
        ids = data.table["id"].iloc[rows].tolist()
        with whole(folder / IDENTITIES):
            found = pd.read_csv(folder / IDENTITIES, dtype=str)["id"].tolist()
        with whole(folder / MEASURED):
            measured = json.loads((folder / MEASURED).read_text(encoding="utf-8"))
            seed, degradations = int(measured["seed"]), [Degradation(**each) for each in measured["degradations"]]
        if found != ids:
            raise UserError(f"{folder} holds other images than those of the test split; run dvc repro, which restores them")
        images = {}
        for degradation in degradations:
            shapes = _shapes(data, degradation)
            for network in NETWORKS:
                path = _file(folder, network, degradation)
                with whole(path):
                    array = np.load(path, mmap_mode="r", allow_pickle=False)
                if array.dtype != data.images.pixels.dtype or array.shape != (shapes.prod(axis=1).sum(),):
                    raise UserError(
                        f"{path} ({array.dtype}, {array.shape}) does not hold what it should; rerun the stage evaluate"
                    )
                images[network, degradation] = Frames(array, begins(shapes), shapes, data.images.bits[rows])
        return cls(ids, images, seed)

    def restored(self, image: Frame, identity: str, degradation: Degradation, device: torch.device) -> Restored:
        """Return what was made of `image`, whose id is `identity`; the rest is computed on `device`."""
        position = self.positions[identity]
        images = {network: as_levels(self.images[network, degradation][position], device) for network in NETWORKS}
        return degraded(image, identity, degradation, self.seed, device).restored(images)


def test_set(data: Dataset, degradations: Sequence[Degradation], seed: int) -> str:
    """Return a name of all that makes what is measured: the pixels of the test images, what befalls them, and its `seed`.

    Under two names figures of one condition may still be of the same inputs: the set of conditions counts, too.
    """
    made = [digest(data.images, data.rows("test")), [each._asdict() for each in degradations], seed]
    return hashlib.sha256(json.dumps(made).encode()).hexdigest()[:12]


def _file(folder: Path, network: str, degradation: Degradation) -> Path:
    return folder / f"{network}_{degradation.name}.npy"


def _shapes(data: Dataset, degradation: Degradation) -> np.ndarray:
    """Return the rows and columns (N, 2) of what is restored of the test images of `data` at `degradation`."""
    shapes = data.images.shapes[data.rows("test")]
    return shapes - shapes % degradation.scale
