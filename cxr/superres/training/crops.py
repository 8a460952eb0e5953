"""Training crops: drawn at random, augmented, and only then degraded, as whole batches on the training device."""

import math
from collections.abc import Sequence
from functools import partial
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from cxr.compute.cuda_graph import CudaGraphed
from cxr.compute.device import to_device_async
from cxr.compute.ranks import ALONE, Rank
from cxr.dataset.packed import Frames, Integers, Pixels, begins
from cxr.foundation.errors import UserError
from cxr.foundation.randomness import generator
from cxr.superres.degradation.enlargement import enlarged_window
from cxr.superres.degradation.levels import WHITE, White, working_dtype
from cxr.superres.degradation.maps import MAPS, beside
from cxr.superres.degradation.passage import MARGIN, noise_field, observed, reach
from cxr.superres.degradation.reduction import resize
from cxr.superres.estimation.expected import expected
from cxr.superres.settings import Degradation, Ranges
from cxr.superres.training.settings import Augment
from cxr.superres.training.turns import Turns
from cxr.superres.training.turns import dealt as dealt_to

# Crops are cut from multiples of this to multiples of it, so that for every scale, and turned, they lie on the grid of the
# low-resolution pixels of the whole image.
GRID = 12

# Turning by a small angle interpolates, which blurs at native resolution; shrinking to this or less brings the sharpness
# back, so that a turned crop is as crisp a ground truth as any.
CRISP = 0.8

ROOM = 0.5  # share of a GPU's free memory that the images may take, to be cut there


class Drawn(NamedTuple):
    """The ground truth of a step with its margin, and where the crops lie in it."""

    crops: Tensor
    """(batch, 1, P, P) in [0, 1], P being patch + 2 margin, the patch brought to a multiple of GRID."""
    corners: Tensor
    """First rows and columns, int64 (2, batch)."""
    white: White
    """The level of white of all, or of each."""


class Crops:
    """A function from a step's number to its batch of crops, so that a resumed run sees what an undisturbed one would."""

    def __init__(
        self,
        images: Frames,
        rows: Integers,
        augment: Augment,
        patch: int,
        batch: int,
        seed: int,
        device: torch.device,
        rank: Rank = ALONE,
        margin: int = MARGIN,
        post_upsampling: bool = False,
        ranges: Ranges | None = None,
        told: bool = False,
    ) -> None:
        """Draw `batch` crops of `patch` pixels a side from `rows` of `images`, for a `post_upsampling` network or another.

        If the network is `told` how they arrived, what it is given has that beside the crops.
        With `ranges` that vary, each crop's degradation is drawn from them, and the scale alone is dealt out.
        They are cut with `margin` pixels to each side: `needed_margin` tells how many the degradations see. Near an edge of
        the image they lie off the centre of what is cut. With several ranks, each gets its share of the same batch; where a
        size (batch, ...) is told below, it is the share's.
        Raises UserError when the images are too small for a crop with its margin, or there is no row.
        """
        if len(rows) == 0:
            raise UserError("there is no image to train on; give more images or a larger split.train")
        self.lengths = torch.from_numpy(images.shapes[rows])
        self.shortest = int(self.lengths.min())
        drawn = math.ceil(patch / GRID) * GRID + 2 * MARGIN
        if self.shortest < drawn:
            raise UserError(
                f"images of {self.shortest} pixels are too small for patches of {patch} with their margin; "
                f"raise preprocess.size to at least {drawn} or lower patch"
            )
        self.images, self.augment, self.device = images.chosen(rows), augment, device
        whites = (1 << torch.from_numpy(self.images.bits)) - 1
        self.whites: White = int(whites[0]) if (whites == whites[0]).all() else whites[:, None, None, None]
        self.dtype = working_dtype(self.whites)
        self.stored = Stored.of(self.images, device)
        self.recorded: dict[tuple[object, ...], CudaGraphed] = {}
        self.batch, self.seed, self.own = batch, seed, rank.share(batch)
        self.patch, self.drawn, self.margin, self.post_upsampling = patch, drawn, margin, post_upsampling
        self.ranges, self.told = ranges if ranges and ranges.varied else None, told
        self.side = drawn - 2 * (MARGIN - margin)

    def draw(self, step: int) -> Drawn:
        """Return the ground truth of a step."""
        source = generator(self.seed, step)
        warped = _uniform(source, 0, 1) < self.augment.warped
        pick = torch.randint(len(self.images), (self.batch,), generator=source)
        return self._warped(pick, source) if warped else self._upright(pick, source)

    def observed(self, step: int, degradations: Sequence[Degradation]) -> tuple[Tensor, ...]:
        """Return what a network is given in a step, as `pairs` has it, and last the ground truths.

        Over the steps the crops are dealt out to `degradations` as `Turns` has it.
        """
        turn = Turns(degradations, self.batch, self.post_upsampling).at(step)
        chosen, first = [degradations[number] for number in turn.numbers], turn.first
        if self.ranges:
            source, first = generator(self.seed, step, "passage"), 0
            chosen = [self.ranges.drawn(chosen[0].scale, partial(_uniform, source, 0, 1)) for _ in range(self.batch)]
        degrade = partial(
            pairs,
            patch=self.patch,
            degradations=chosen,
            first=first,
            batch=self.batch,
            own=self.own,
            post_upsampling=self.post_upsampling,
            told=self.told,
        )
        drawn = self.draw(step)
        if self.stored is None or self.ranges or any(each.noisy for each in chosen) or isinstance(drawn.white, Tensor):
            return degrade(*drawn, source=generator(self.seed, step, "grain"))
        key = turn.first, *chosen
        if key not in self.recorded:  # nothing is drawn of the generator without noise
            self.recorded[key] = CudaGraphed(partial(degrade, white=drawn.white, source=generator()))
        return tuple(self.recorded[key](drawn.crops, drawn.corners))

    def _warped(self, pick: Tensor, source: Generator) -> Drawn:
        """Return crops shrunk by one factor and, if that is enough, turned by one small angle, with no corner filled in."""
        zoom = _uniform(source, self.augment.zoom, 1)
        rotation = self.augment.rotation if zoom <= CRISP else 0.0
        angle = math.radians(_uniform(source, -rotation, rotation))
        room, turned = round(self.drawn / zoom), round(self.side / zoom)
        around = turned
        if angle != 0:
            room, around = _around(room, angle), _around(turned, angle)
        if room > self.shortest:  # a small image has no room for this much: take what there is
            return self._upright(pick, source)
        places = _places(self.lengths[pick].T - room + 1, source)
        drawn = self._cut(pick, around, places + (room - around) // 2, torch.full_like(places, self.margin), source)
        crops = drawn.crops
        if angle != 0:
            crops = _turned_inside(crops, angle, turned)
        return drawn._replace(crops=resize(crops, self.side, self.side).clamp(0, 1))

    def _upright(self, pick: Tensor, source: Generator) -> Drawn:
        """Return crops at native resolution: their places are counted from the nearer edge, along either axis."""
        lengths = self.lengths[pick].T
        block = self.side - 2 * self.margin
        places = _places((lengths - block) // (2 * GRID) + 1, source) * GRID
        first = (places - self.margin).clamp_min(0).minimum((lengths - self.side) // GRID * GRID)
        corners = places - first
        behind = torch.randint(2, (2, self.batch), generator=source) == 1
        first = torch.where(behind, lengths - self.side - first, first)
        return self._cut(pick, self.side, first, torch.where(behind, 2 * self.margin - corners, corners), source)

    def _cut(self, pick: Tensor, side: int, first: Tensor, corners: Tensor, source: Generator) -> Drawn:
        """Return squares of `side` pixels, each turned by its own number of quarter turns and half of them mirrored.

        They are of the images `pick`, `first` are their first rows and columns there, `corners` those of the crops in them,
        which come back for what was turned (2, batch).
        """
        quarters, mirrored = torch.randint(4, (2, self.batch), generator=source)
        mirrored %= 2 if self.augment.flip else 1
        corners = _corners(corners, 2 * self.margin, quarters, mirrored)
        places = torch.stack([pick, *first, quarters, mirrored, *corners])[:, self.own]
        white = self.whites if isinstance(self.whites, int) else self.whites[places[0]].to(self.device)
        if self.stored is None:
            image, top, left, turns, mirrors = places[:5].numpy()
            # As integers, and before they go to the device: a quarter of the memory to move.
            turned = _turned_and_mirrored(cut_windows(self.images, image, top, left, side), turns, mirrors)
            crops, places = to_device_async(torch.from_numpy(turned), self.device), to_device_async(places, self.device)
        else:
            places = to_device_async(places, self.device)
            crops = self.stored.cut(places[:5], side)
        return Drawn(crops.unsqueeze(1).to(self.dtype).div_(white), places[5:], white)


class Stored(NamedTuple):
    """Images on a GPU, to be cut there."""

    pixels: Tensor
    """Of all images, flat: uint8, or what is uint16 as int16, for which torch has more operations."""
    begins: Tensor
    columns: Tensor

    @classmethod
    def of(cls, images: Frames, device: torch.device) -> "Stored | None":
        """Return `images` on a CUDA device that has room for them; else None: they stay where they are."""
        size = int(images.shapes.prod(axis=1).sum())
        if device.type != "cuda" or size * images.pixels.itemsize > ROOM * torch.cuda.mem_get_info(device)[0]:
            return None
        return cls.filled(images, device)

    @classmethod
    def filled(cls, images: Frames, device: torch.device) -> "Stored":
        """Return `images` on `device`."""
        begun = begins(images.shapes)
        kind = torch.uint8 if images.pixels.dtype == np.uint8 else torch.int16
        pixels = torch.empty(int(images.shapes.prod(axis=1).sum()), dtype=kind, device=device)
        for begin, frame in zip(begun, images, strict=True):
            flat = np.array(frame.pixels).reshape(-1)
            pixels[begin : begin + flat.size] = torch.from_numpy(flat if kind == torch.uint8 else flat.view(np.int16))
        return cls(pixels, *(torch.from_numpy(each).to(device) for each in (begun, images.shapes[:, 1].copy())))

    def cut(self, places: Tensor, side: int) -> Tensor:
        """Return squares (N, side, side), turned and mirrored, by operations that a GPU does at once.

        `places` (5, N), int64, are their image, first row, first column, quarter turns, and 1 where they are then mirrored.
        """
        image, top, left, quarters, mirrored = places[:, :, None, None]
        line = torch.arange(side, device=self.pixels.device)
        row, column = line[:, None], torch.where(mirrored == 1, side - 1 - line, line)
        turned = quarters % 2 == 1
        row, column = torch.where(turned, column, row), torch.where(turned, row, column)
        row = torch.where(quarters >= 2, side - 1 - row, row)
        column = torch.where((quarters == 1) | (quarters == 2), side - 1 - column, column)
        squares = self.pixels[self.begins[image] + (top + row) * self.columns[image] + left + column]
        return squares if squares.dtype == torch.uint8 else squares.int() & 0xFFFF


def _turned_and_mirrored(crops: Pixels, quarters: Integers, mirrored: Integers) -> Pixels:
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
    theta = to_device_async(rotation.to(crops.dtype) * side / crops.shape[-1], crops.device)[None]
    grid = F.affine_grid(theta, [1, 1, side, side], align_corners=False)  # one for all
    return F.grid_sample(crops, grid.expand(len(crops), -1, -1, -1), mode="bicubic", align_corners=False).clamp(0, 1)


def cut_windows(images: Frames, rows: Integers, top: Integers, left: Integers, side: int) -> Pixels:
    """Return the squares (len(rows), side, side) of `rows` of `images` whose first pixels are at `top`, `left`."""
    crops = np.empty((len(rows), side, side), images.pixels.dtype)
    for crop, row, y, x in zip(crops, rows, top, left, strict=True):
        crop[:] = images[row].pixels[y : y + side, x : x + side]
    return crops


def _places(room: Tensor, source: Generator) -> Tensor:
    """Return whole numbers from 0 up to, and without, each of `room`: the same shares of it for any image."""
    return (torch.rand(room.shape, dtype=torch.float64, generator=source) * room).long()


def pairs(
    crops: Tensor,
    corners: Tensor,
    white: White = WHITE,
    *,
    patch: int,
    degradations: Sequence[Degradation],
    source: Generator,
    first: int = 0,
    batch: int | None = None,
    own: slice | None = None,
    post_upsampling: bool = False,
    told: bool = False,
) -> tuple[Tensor, ...]:
    """Return network inputs and, last, ground truths: what of `crops` (N, 1, P, P) begins at `corners` (2, N).

    The inputs are the bicubically enlarged images, for a `post_upsampling` network after the low-resolution ones. All are
    (N, 1, patch, patch), those at low resolution (N, 1, patch / scale, patch / scale), float32, whatever `crops` are; if the
    network is `told`, with maps beside them of what an estimator would find of them. `white` is the level of white of all, or
    of each (N, 1, 1, 1).

    Corners are rows and columns, multiples of GRID. What a degradation sees beyond an edge of a crop must be beyond an edge of
    its image. Crop i is degraded by degradations[(first + i) mod len(degradations)], with noise from `source`. Where `crops`
    are only the crops `own` of a `batch` of so many, they come out as they would among the others. For a post-upsampling
    network `degradations` are of one scale, which divides `patch`.
    """
    everyone = range(len(crops) if batch is None else batch)
    ours = everyone[own] if own else everyone
    inputs = crops.new_empty(len(crops), 1, patch, patch, dtype=torch.float32)
    small = patch // degradations[0].scale
    channels = 1 + MAPS if told else 1
    lows = crops.new_empty(len(crops), channels, small, small, dtype=torch.float32) if post_upsampling else None
    for i, degradation in enumerate(degradations):
        dealt = dealt_to(i, first + ours.start, len(degradations))
        scale = degradation.scale
        # No more of the margin than this degradation can see, from and to whole pixels of the low-resolution image.
        around = math.ceil(reach(degradation) / scale) * scale
        seen = math.ceil(patch / scale) * scale + 2 * around
        begin = (corners[:, dealt] - around).clamp(0, crops.shape[-1] - seen)
        window = squares(crops[dealt], begin, seen)
        theirs = everyone[dealt_to(i, first, len(degradations))]
        before = len([crop for crop in theirs if crop < ours.start])
        field = noise_field(degradation, (len(theirs), 1, seen // scale, seen // scale), source)
        theirs_white = white[dealt] if isinstance(white, Tensor) else white
        low = observed(window, degradation, None if field is None else field[before : before + len(window)], theirs_white)
        inputs[dealt] = squares(enlarged_window(low, scale), corners[:, dealt] - begin, patch)
        if lows is not None:
            low = squares(low, (corners[:, dealt] - begin) // scale, small)
            lows[dealt] = beside(low, [expected(degradation)] * len(low)) if told else low
    original = squares(crops, corners, patch).float()
    return (inputs, original) if lows is None else (lows, inputs, original)


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
    return math.ceil(max(map(reach, degradations)) / GRID) * GRID


def _uniform(source: Generator, low: float, high: float) -> float:
    return low + (high - low) * torch.rand((), generator=source).item()
