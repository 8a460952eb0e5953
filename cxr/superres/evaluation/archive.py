"""The test images as the networks restored them: kept when they are measured, so that nobody has to restore them again."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cxr.dataset.packed import Images
from cxr.foundation.errors import UserError
from cxr.foundation.files import whole, write_table
from cxr.superres.degradation import crop_to_multiple, enlarge, low_resolution, noise_for_image, to_levels
from cxr.superres.methods import BICUBIC, NETWORKS
from cxr.superres.settings import Degradation, Degrade

IDENTITIES = "images.csv"


class Restored(NamedTuple):
    """A radiograph's ground truth, its low-resolution copy, and what each of the methods made of that: grey levels, uint8."""

    truth: Tensor
    low: Tensor
    images: dict[str, Tensor]


def degraded(
    image: Images, identity: str, degradation: Degradation, degrade: Degrade, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return `image` (H, W), whose id is `identity`, and its low-resolution copy, on `device`.

    The image is uint8 (1, 1, H', W'), H' and W' being the largest multiples of the scale in H and W; the copy, float32 in
    [0, 1], has 1/scale of that.
    """
    scale = degradation.scale
    truth = crop_to_multiple(torch.from_numpy(np.array(image)).to(device)[None, None], scale)
    height, width = truth.shape[-2:]
    noise = noise_for_image(degradation, degrade.seed, identity, height // scale, width // scale)
    return truth, low_resolution(truth.float() / 255, scale, noise)


@contextmanager
def keeping(folder: Path, identities: Sequence[str], size: int, degradations: Sequence[Degradation]) -> Iterator["Keeper"]:
    """Yield a keeper of what each of NETWORKS makes of images of `size` pixels a side, in the order of `identities`.

    `folder` then holds one array for each network and degradation, uint8 (N, H', W'), and a table of the identities.
    """
    write_table(folder / IDENTITIES, [{"id": identity} for identity in identities])
    with ExitStack() as stack:
        files = {}
        for degradation in degradations:
            header = {"descr": "|u1", "fortran_order": False, "shape": _shape(len(identities), size, degradation)}
            for network in NETWORKS:
                file = stack.enter_context(_file(folder, network, degradation).open("wb"))
                np.lib.format.write_array_header_1_0(file, header)
                files[network, degradation] = file
        yield Keeper(files)


@dataclass(frozen=True)
class Keeper:
    """Arrays that grow by an image at a time: written, not mapped, so that a full disk is an error and no crash."""

    files: Mapping[tuple[str, Degradation], BinaryIO]

    def add(self, restored: Restored, degradation: Degradation) -> None:
        """Keep what the networks made of the next image at `degradation`."""
        for network in NETWORKS:
            self.files[network, degradation].write(restored.images[network].cpu().numpy().tobytes())


class Kept:
    """What a keeper kept of the images with the ids `identities`, to be looked at again."""

    def __init__(self, folder: Path, identities: Sequence[str], size: int, degrade: Degrade) -> None:
        """Open the arrays in `folder`, of images of `size` pixels a side.

        Raises UserError when one is missing or damaged, or is of other images.
        """
        self.degrade, self.arrays = degrade, {}
        with whole(folder / IDENTITIES):
            found = pd.read_csv(folder / IDENTITIES, dtype=str)["id"].tolist()
        if found != list(identities):
            raise UserError(f"{folder} holds other images than those of the test split; run dvc repro, which restores them")
        self.positions = {identity: position for position, identity in enumerate(found)}
        for degradation in degrade.degradations:
            for network in NETWORKS:
                path = _file(folder, network, degradation)
                with whole(path):
                    array = np.load(path, mmap_mode="r", allow_pickle=False)
                if array.dtype != np.uint8 or array.shape != _shape(len(found), size, degradation):
                    raise UserError(
                        f"{path} ({array.dtype}, {array.shape}) does not hold what it should; rerun the stage evaluate"
                    )
                self.arrays[network, degradation] = array

    def of(self, image: Images, identity: str, degradation: Degradation, device: torch.device) -> Restored:
        """Return what was made of `image` (H, W), whose id is `identity`, (1, 1, H', W'); the rest is computed on `device`."""
        truth, low = degraded(image, identity, degradation, self.degrade, device)
        images = {BICUBIC: to_levels(enlarge(low, degradation.scale))}
        for network in NETWORKS:
            levels = self.arrays[network, degradation][self.positions[identity]]
            images[network] = torch.from_numpy(np.array(levels)).to(device)[None, None]
        return Restored(truth, to_levels(low), images)


def _file(folder: Path, network: str, degradation: Degradation) -> Path:
    return folder / f"{network}_{degradation.name}.npy"


def _shape(count: int, size: int, degradation: Degradation) -> tuple[int, int, int]:
    side = size - size % degradation.scale
    return count, side, side
