"""The test images as the networks restored them: kept when they are measured, so that nobody has to restore them again."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
import torch

from cxr.dataset.packed import Dataset, Images
from cxr.foundation.errors import UserError
from cxr.foundation.files import whole, write_table
from cxr.superres.evaluation.observed import Restored, degraded
from cxr.superres.methods import NETWORKS
from cxr.superres.settings import Degradation, Degrade

IDENTITIES = "images.csv"


class Writer:
    """Arrays that grow by an image at a time: written, not mapped, so that a full disk is an error and no crash."""

    def __init__(self, files: Mapping[tuple[str, Degradation], BinaryIO]) -> None:
        self.files = files

    def add(self, restored: Restored, degradation: Degradation) -> None:
        """Write what the networks made of the next image at `degradation`."""
        for network in NETWORKS:
            self.files[network, degradation].write(restored.images[network].cpu().numpy().tobytes())


class Archive:
    """What each of NETWORKS made of the test images: one array for each network and degradation, and a table of the ids."""

    def __init__(self, degrade: Degrade, ids: Sequence[str], arrays: Mapping[tuple[str, Degradation], Images]) -> None:
        self.degrade, self.arrays = degrade, arrays
        self.positions = {identity: position for position, identity in enumerate(ids)}

    @classmethod
    @contextmanager
    def writer(cls, folder: Path, ids: Sequence[str], size: int, degradations: Sequence[Degradation]) -> Iterator[Writer]:
        """Yield a writer, into `folder`, of what is made of images of `size` pixels a side, in the order of their `ids`."""
        write_table(folder / IDENTITIES, [{"id": identity} for identity in ids])
        with ExitStack() as stack:
            files = {}
            for degradation in degradations:
                header = {"descr": "|u1", "fortran_order": False, "shape": _shape(len(ids), size, degradation)}
                for network in NETWORKS:
                    file = stack.enter_context(_file(folder, network, degradation).open("wb"))
                    np.lib.format.write_array_header_1_0(file, header)
                    files[network, degradation] = file
            yield Writer(files)

    @classmethod
    def open(cls, folder: Path, data: Dataset, degrade: Degrade) -> "Archive":
        """Return what a writer has written to `folder` of the test images of `data`.

        Raises UserError when an array is missing or damaged, or is of other images.
        """
        ids, size = data.table["id"].iloc[data.rows("test")].tolist(), data.images.shape[1]
        with whole(folder / IDENTITIES):
            found = pd.read_csv(folder / IDENTITIES, dtype=str)["id"].tolist()
        if found != ids:
            raise UserError(f"{folder} holds other images than those of the test split; run dvc repro, which restores them")
        arrays = {}
        for degradation in degrade.degradations:
            for network in NETWORKS:
                path = _file(folder, network, degradation)
                with whole(path):
                    array = np.load(path, mmap_mode="r", allow_pickle=False)
                if array.dtype != np.uint8 or array.shape != _shape(len(ids), size, degradation):
                    raise UserError(
                        f"{path} ({array.dtype}, {array.shape}) does not hold what it should; rerun the stage evaluate"
                    )
                arrays[network, degradation] = array
        return cls(degrade, ids, arrays)

    def restored(self, image: Images, identity: str, degradation: Degradation, device: torch.device) -> Restored:
        """Return what was made of `image` (H, W), whose id is `identity`; the rest is computed on `device`."""
        position = self.positions[identity]
        images = {}
        for network in NETWORKS:
            levels = np.array(self.arrays[network, degradation][position])
            images[network] = torch.from_numpy(levels).to(device)[None, None]
        return degraded(image, identity, degradation, self.degrade, device).restored(images)


def _file(folder: Path, network: str, degradation: Degradation) -> Path:
    return folder / f"{network}_{degradation.name}.npy"


def _shape(count: int, size: int, degradation: Degradation) -> tuple[int, int, int]:
    side = size - size % degradation.scale
    return count, side, side
