"""Training crops: drawn at random, augmented, and only then degraded, as whole batches on the training device."""

import math
from collections.abc import Sequence
from functools import partial
from itertools import product

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from cxr.compute.cuda_graph import CudaGraphed
from cxr.compute.device import to_device_async
from cxr.compute.ranks import ALONE, Rank
from cxr.dataset.packed import Images
from cxr.foundation.errors import UserError
from cxr.foundation.randomness import generator
from cxr.superres.degradation import MARGIN, REACH, draw_noise, observe, resize
from cxr.superres.settings import Degradation
from cxr.superres.training.settings import Augment

# Crops are cut from multiples of this to multiples of it, so that for every scale, and turned, they lie on the grid of the
# low-resolution pixels of the whole image.
GRID = 12

# Turning by a small angle interpolates, which blurs at native resolution; shrinking to this or less brings the sharpness
# back, so that a turned crop is as crisp a ground truth as any.
CRISP = 0.8

ROOM = 0.5  # share of a GPU's free memory that the images may take, to be cut there


class Crops:
    """A function from a step's number to its batch of crops, so that a resumed run sees what an undisturbed one would."""

    def __init__(
        self,
        images: Images,
        rows: npt.NDArray[np.intp],
        augment: Augment,
        patch: int,
        batch: int,
        seed: int,
        device: torch.device,
        rank: Rank = ALONE,
        margin: int = MARGIN,
    ) -> None:
        """Draw `batch` crops of `patch` pixels a side from `rows` of `images` (N, S, S), a memory map or an array.

        They are cut with `margin` pixels to each side: `needed_margin` tells how many the degradations see. Near an edge of
        the image they lie off the centre of what is cut. With several ranks, each gets its share of the same batch; where a
        size (batch, ...) is told below, it is the share's.
        Raises UserError when the images are too small for a crop with its margin, or there is no row.
        """
        side = images.shape[1]
        drawn = math.ceil(patch / GRID) * GRID + 2 * MARGIN
        if side < drawn:
            raise UserError(
                f"images of {side} pixels are too small for patches of {patch} with their margin; "
                f"raise preprocess.size to at least {drawn} or lower patch"
            )
        if len(rows) == 0:
            raise UserError("there is no image to train on; give more images or a larger split.train")
        self.images, self.rows, self.augment, self.device = images, rows, augment, device
        self.stored = _stored(images, rows, device)
        self.recorded: dict[tuple[object, ...], CudaGraphed] = {}
        self.batch, self.seed, self.own = batch, seed, rank.share(batch)
        self.patch, self.drawn, self.margin = patch, drawn, margin
        self.side = drawn - 2 * (MARGIN - margin)

    def draw(self, step: int) -> tuple[Tensor, Tensor]:
        """Return the ground truth of a step with its margin, and the first row and column of the crops in it.

        Float32 (batch, 1, P, P) in [0, 1], P being patch + 2 margin, the patch brought to a multiple of GRID; int64 (2, batch).
        """
        source = generator(self.seed, step)
        if _uniform(source, 0, 1) < self.augment.warped:
            return self._warped(source)
        return self._upright(source)

    def observed(self, step: int, degradations: Sequence[Degradation]) -> tuple[Tensor, Tensor]:
        """Return the network inputs and ground truths of a step, float32 (batch, 1, patch, patch) in [0, 1].

        Over the steps the crops are dealt out to `degradations` in turn, so that each gets its share whatever the batch.
        """
        first = step * self.batch % len(degradations)
        degrade = partial(pairs, patch=self.patch, degradations=degradations, first=first, batch=self.batch, own=self.own)
        if self.stored is None or any(each.noise for each in degradations):
            return degrade(*self.draw(step), source=generator(self.seed, step, "grain"))
        key = first, *degradations
        if key not in self.recorded:
            self.recorded[key] = CudaGraphed(partial(degrade, source=generator()))  # nothing is drawn of it without noise
        inputs, truth = self.recorded[key](*self.draw(step))
        return inputs, truth

    def _warped(self, source: Generator) -> tuple[Tensor, Tensor]:
        """Return crops shrunk by one factor and, if that is enough, turned by one small angle, with no corner filled in."""
        zoom = _uniform(source, self.augment.zoom, 1)
        rotation = self.augment.rotation if zoom <= CRISP else 0.0
        angle = math.radians(_uniform(source, -rotation, rotation))
        room, turned = round(self.drawn / zoom), round(self.side / zoom)
        around = turned
        if angle != 0:
            room, around = _around(room, angle), _around(turned, angle)
        if room > self.images.shape[1]:  # a small image has no room for this much: take what there is
            return self._upright(source)
        places = torch.randint(self.images.shape[1] - room + 1, (2, self.batch), generator=source)
        crops, corners = self._cut(around, places + (room - around) // 2, torch.full_like(places, self.margin), source)
        if angle != 0:
            crops = _turned_inside(crops, angle, turned)
        return resize(crops, self.side, self.side).clamp(0, 1), corners

    def _upright(self, source: Generator) -> tuple[Tensor, Tensor]:
        """Return crops at native resolution: their places are counted from the nearer edge, along either axis."""
        length = self.images.shape[1]
        block = self.side - 2 * self.margin
        places = torch.randint((length - block) // (2 * GRID) + 1, (2, self.batch), generator=source) * GRID
        first = (places - self.margin).clamp(0, (length - self.side) // GRID * GRID)
        corners = places - first
        behind = torch.randint(2, (2, self.batch), generator=source) == 1
        first = torch.where(behind, length - self.side - first, first)
        return self._cut(self.side, first, torch.where(behind, 2 * self.margin - corners, corners), source)

    def _cut(self, side: int, first: Tensor, corners: Tensor, source: Generator) -> tuple[Tensor, Tensor]:
        """Return squares of `side` pixels, each turned by its own number of quarter turns and half of them mirrored.

        `first` are their first rows and columns in the images, `corners` those of the crops in them, which come back for what
        was turned (2, batch).
        """
        pick = torch.randint(len(self.rows), (self.batch,), generator=source)
        quarters, mirrored = torch.randint(4, (2, self.batch), generator=source)
        mirrored %= 2 if self.augment.flip else 1
        corners = _corners(corners, 2 * self.margin, quarters, mirrored)
        places = torch.stack([pick, *first, quarters, mirrored, *corners])[:, self.own]
        if self.stored is None:
            pick, top, left, turns, mirrors = places[:5].numpy()
            # As bytes, and before they go to the device: a quarter of the memory to move.
            turned = _turned_and_mirrored(cut_windows(self.images, self.rows[pick], top, left, side), turns, mirrors)
            crops, places = to_device_async(torch.from_numpy(turned), self.device), to_device_async(places, self.device)
        else:
            places = to_device_async(places, self.device)
            crops = cut_windows_on_gpu(self.stored, places[:5], side)
        return crops.unsqueeze(1).float().div_(255), places[5:]


def _stored(images: Images, rows: npt.NDArray[np.intp], device: torch.device) -> Tensor | None:
    """Return `rows` of `images` on a CUDA device that has room for them, uint8; else None: they stay where they are."""
    if device.type != "cuda" or len(rows) * images[0].nbytes > ROOM * torch.cuda.mem_get_info(device)[0]:
        return None
    stored = torch.empty((len(rows), *images.shape[1:]), dtype=torch.uint8, device=device)
    for place, row in enumerate(rows):
        stored[place] = torch.from_numpy(images[row].copy())
    return stored


def cut_windows_on_gpu(images: Tensor, places: Tensor, side: int) -> Tensor:
    """Return squares (N, side, side) of `images` (M, S, S), turned and mirrored, by operations that a GPU does at once.

    `places` (5, N), integers, are their image, first row, first column, quarter turns, and 1 where they are then mirrored.
    """
    image, top, left, quarters, mirrored = places[:, :, None, None]
    line = torch.arange(side, device=images.device)
    row, column = line[:, None], torch.where(mirrored == 1, side - 1 - line, line)
    turned = quarters % 2 == 1
    row, column = torch.where(turned, column, row), torch.where(turned, row, column)
    row = torch.where(quarters >= 2, side - 1 - row, row)
    column = torch.where((quarters == 1) | (quarters == 2), side - 1 - column, column)
    return images[image, top + row, left + column]


def _turned_and_mirrored(crops: Images, quarters: npt.NDArray[np.int64], mirrored: npt.NDArray[np.int64]) -> Images:
    """Return each of `crops` (N, P, P) turned by its number of `quarters`, then mirrored where `mirrored` is 1."""
    done = np.empty_like(crops)
    for quarter, mirror in product(range(4), range(2)):
        chosen = (quarters == quarter) & (mirrored == mirror)
        turned = np.rot90(crops[chosen], quarter, (1, 2))
        done[chosen] = turned[..., ::-1] if mirror else turned
    return done


def _corners(corners: Tensor, last: int, quarters: Tensor, mirrored: Tensor) -> Tensor:
    """Return where `corners` (2, N), rows and columns from 0 to `last`, come to lie by the turns of `_turned_and_mirrored`."""
    row, column = torch.where(quarters >= 2, last - corners, corners)
    row, column = torch.where(quarters % 2 == 1, torch.stack([last - column, row]), torch.stack([row, column]))
    return torch.stack([row, torch.where(mirrored == 1, last - column, column)])


def _around(side: int, angle: float) -> int:
    """Return the side of the upright square around one turned by `angle`, with 1.5 pixels to each side to interpolate from."""
    return math.ceil(side * (math.cos(angle) + math.sin(abs(angle)))) + 3


def _turned_inside(crops: Tensor, angle: float, side: int) -> Tensor:
    """Return the central squares of `side` pixels of `crops` (N, 1, H, H) after a turn by `angle` radians."""
    rotation = torch.tensor([[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0]])
    theta = to_device_async(rotation * side / crops.shape[-1], crops.device)[None]
    grid = F.affine_grid(theta, [1, 1, side, side], align_corners=False)  # one for all
    return F.grid_sample(crops, grid.expand(len(crops), -1, -1, -1), mode="bicubic", align_corners=False).clamp(0, 1)


def cut_windows(
    images: Images, rows: npt.NDArray[np.intp], top: npt.NDArray[np.int64], left: npt.NDArray[np.int64], side: int
) -> Images:
    """Return the squares (len(rows), side, side) of `images` (N, S, S) whose first pixels are at `top`, `left`."""
    windows = np.lib.stride_tricks.sliding_window_view(images, (side, side), axis=(1, 2))
    crops: Images = windows[rows, top, left]
    return crops


def pairs(
    crops: Tensor,
    corners: Tensor,
    patch: int,
    degradations: Sequence[Degradation],
    source: Generator,
    first: int = 0,
    batch: int | None = None,
    own: slice | None = None,
) -> tuple[Tensor, Tensor]:
    """Return network inputs and ground truths (N, 1, patch, patch): what of `crops` (N, 1, P, P) begins at `corners` (2, N).

    Those are rows and columns, multiples of GRID. What a degradation sees beyond an edge of a crop must be beyond an edge of
    its image. Crop i is degraded by degradations[(first + i) mod len(degradations)], with noise from `source`. Where `crops`
    are only the crops `own` of a `batch` of so many, they come out as they would among the others.
    """
    everyone = range(len(crops) if batch is None else batch)
    ours = everyone[own] if own else everyone
    inputs = crops.new_empty(len(crops), 1, patch, patch)
    for i, degradation in enumerate(degradations):
        dealt = crops_of_degradation(i, first + ours.start, len(degradations))
        scale = degradation.scale
        # No more of the margin than this scale can see, from and to whole pixels of the low-resolution image.
        seen = math.ceil(patch / scale) * scale + 2 * REACH * scale
        begin = (corners[:, dealt] - REACH * scale).clamp(0, crops.shape[-1] - seen)
        window = squares(crops[dealt], begin, seen)
        theirs = everyone[crops_of_degradation(i, first, len(degradations))]
        before = len([crop for crop in theirs if crop < ours.start])
        noise = None
        if degradation.noise:
            shape = len(theirs), 1, seen // scale, seen // scale
            noise = draw_noise(degradation, shape, source)[before : before + len(window)]
        inputs[dealt] = squares(observe(window, scale, noise), corners[:, dealt] - begin, patch)
    return inputs, squares(crops, corners, patch)


def squares(images: Tensor, corners: Tensor, side: int) -> Tensor:
    """Return of each of `images` (N, 1, H, W) the square (N, 1, side, side) that begins at its row and column of `corners`."""
    _, _, height, width = images.shape
    # Picked out of all that begin anywhere in memory, so that the rows of each are copied as they lie.
    images = images.contiguous()
    places = max(images.numel() - (side - 1) * (width + 1), 0)  # a small batch has no crop for some degradations
    anywhere = images.as_strided((places, side, side), (1, width, 1))
    row, column = corners
    first = torch.arange(0, images.numel(), height * width, device=images.device)
    return anywhere.index_select(0, first + row * width + column).unsqueeze(1)


def needed_margin(degradations: Sequence[Degradation]) -> int:
    """Return the smallest margin, a multiple of GRID, in which all of `degradations` see what lies around a crop."""
    return math.ceil(REACH * max(each.scale for each in degradations) / GRID) * GRID


def crops_of_degradation(index: int, first: int, count: int) -> slice:
    """Return which crops of a batch, whose first is crop number `first`, go to degradation `index` of `count`."""
    return slice((index - first) % count, None, count)


def _uniform(source: Generator, low: float, high: float) -> float:
    return low + (high - low) * torch.rand((), generator=source).item()
