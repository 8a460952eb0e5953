"""Chest radiographs of small children, drawn from first principles.

Each is the shadow that a body of known thicknesses casts: Beer and Lambert's law I = I0 exp(-sum of mu_i t_i) over the
tissues along each ray, then scatter, the detector's blur, quantum noise and the display curve of a digital system.
Modelled: soft tissue of trunk, neck, shoulders and arms; lungs; heart, great vessels and windpipe; diaphragm and stomach
gas; spine, twelve pairs of ribs, clavicles, shoulder blades; branching vessels and airways; a lead marker; consolidation
(bacterial) and interstitial thickening (viral). Not modelled: beam spectrum and hardening, the cone of the beam, motion,
devices, and any disease but these. No phantom shows a person, and none is fit to learn a diagnosis from.

Anatomy is in millimetres: x towards the image's right (the patient's left), y down, z towards the front, the origin in the
midline near the fifth thoracic vertebra. Sides are -1 (the patient's right, left in the image) and 1.
"""

import multiprocessing
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from tqdm import tqdm

from cxr.foundation.params import SEED, at_least, between

Floats = NDArray[Any]  # float32 for whole images, float64 for points
Image = NDArray[np.uint8]
Disease = Literal["none", "bacteria", "virus"]

# Linear attenuation at 60 keV, 1/mm: NIST tables of mass attenuation (Hubbell and Seltzer 1995) times ICRU-44 densities.
SOFT_TISSUE = 0.02048 * 1.06
CORTICAL_BONE = 0.03148 * 1.92
INFLATED_LUNG = 0.02053 * 0.26
LEAD = 0.5021 * 11.35

FIELD = 236.0  # mm of anatomy along the image's side, at magnification 1
IMAGES = (1, 2, 1, 3, 2, 1, 1, 1)  # images of each of eight patients in turn; the second and sixth show no pneumonia
QUANTA = 9e5  # photons per mm2 of detector behind nothing, at exposure 1
SUBPIXEL_BITS = 6  # fractional bits of the coordinates handed to OpenCV's drawing
LEVELS_PER_MM = 20.0  # a drawing's 8 bits hold thickness to 0.05 mm, up to 12.7 mm


@dataclass(frozen=True)
class Phantom:
    """Section `phantom` of params.yaml."""

    images: Annotated[int, at_least(1)]
    size: Annotated[int, between(64, 4096)]
    seed: Annotated[int, SEED]


class Radiograph(NamedTuple):
    """A drawn radiograph: 8-bit grey of shape (size, size), its class and its file name."""

    pixels: Image
    klass: Literal["NORMAL", "PNEUMONIA"]
    name: str


class Subject(NamedTuple):
    """Whose image one is: the patient's number, which of the patient's images it is (both from 0), and the disease."""

    patient: int
    image: int
    disease: Disease


def write(folder: Path, phantom: Phantom, processes: int) -> None:
    """Write `phantom.images` radiographs as `folder`/{NORMAL,PNEUMONIA}/NAME.jpeg, the same bytes for any `processes`."""
    for klass in ("NORMAL", "PNEUMONIA"):
        (folder / klass).mkdir(parents=True, exist_ok=True)
    job = partial(_write_one, folder, phantom.seed, phantom.size)
    progress = partial(tqdm, total=phantom.images, desc="drawing", unit="image", disable=None)
    # Spawned, not forked: a fork of a process in which threads run (torch's, OpenCV's) can hang.
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), partial(cv2.setNumThreads, 1)) as pool:
        for _ in progress(pool.map(job, range(phantom.images), chunksize=4)):
            pass


def _write_one(folder: Path, seed: int, size: int, index: int) -> None:
    radiograph = draw(seed, index, size)
    _, jpeg = cv2.imencode(".jpeg", radiograph.pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])
    (folder / radiograph.klass / radiograph.name).write_bytes(jpeg.tobytes())


def draw(seed: int, index: int, size: int) -> Radiograph:
    """Return radiograph `index` of the endless series `seed`, `size` pixels a side; another size shows the same scene."""
    subject = subject_of(index)
    klass: Literal["NORMAL", "PNEUMONIA"] = "NORMAL" if subject.disease == "none" else "PNEUMONIA"
    return Radiograph(expose(seed, subject, size), klass, file_name(subject, index))


def subject_of(index: int) -> Subject:
    """Return whose image `index` is: eight patients share twelve images, three of which show no pneumonia."""
    block, rest = divmod(index, sum(IMAGES))
    ends = np.cumsum(IMAGES)
    place = int(np.searchsorted(ends, rest, side="right"))
    patient = block * len(IMAGES) + place
    disease: Disease = "none" if place % 4 == 1 else "virus" if patient % 3 == 0 else "bacteria"
    return Subject(patient, rest - int(ends[place]) + IMAGES[place], disease)


def file_name(subject: Subject, index: int) -> str:
    """Return the name that Kaggle's set would give the image."""
    if subject.disease == "none":
        return f"IM-{subject.patient + 1:04d}-{subject.image + 1:04d}.jpeg"
    return f"person{subject.patient + 1}_{subject.disease}_{index + 1}.jpeg"


def stream(*key: int | str) -> np.random.Generator:
    """Return the random numbers that belong to `key`, so that one detail's draws never shift another's."""
    words = [zlib.crc32(part.encode()) if isinstance(part, str) else part for part in key]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(words)))


def dome(*ratios: Floats) -> Floats:
    """Return sqrt(1 - the sum of the squared `ratios`), 0 outside: how thick an ellipse is along the rays through it."""
    height: Floats = np.sqrt(np.clip(1 - sum(ratio**2 for ratio in ratios), 0, 1))
    return height


@dataclass(frozen=True)
class Anatomy:
    """What all images of one patient share; lengths in mm."""

    chest: float  # half the rib cage's greatest width
    flatness: float  # the chest's depth over its width
    wall: float  # muscle and fat outside the ribs
    rib_spacing: float
    rib_slope: float  # how far a rib falls for each mm that it runs forwards
    rib_radius: float
    bone: float  # strength of the bones: their cortex over the usual
    heart: float  # scale of the heart's width
    apex: float  # y of the lungs' tops
    arms: float  # how far the elbows stand off, mm
    stomach: tuple[float, float, float, float]  # centre and half axes of the gas in the stomach

    @classmethod
    def of(cls, seed: int, patient: int) -> "Anatomy":
        """Return the anatomy of a patient."""
        draw = stream(seed, patient, "anatomy").uniform
        return cls(
            chest=draw(95, 110),
            flatness=draw(0.49, 0.57),
            wall=draw(13, 24),
            rib_spacing=draw(14.6, 16.6),
            rib_slope=draw(0.3, 0.5),
            rib_radius=draw(2.7, 3.4),
            bone=draw(0.85, 1.25),
            heart=draw(0.88, 1.12),
            apex=draw(-84, -76),
            arms=draw(0, 80),
            stomach=(draw(35, 62), draw(80, 95), draw(10, 26), draw(7, 16)),
        )

    @property
    def upper_arm(self) -> tuple[Floats, Floats]:
        """Where the left upper arm starts, (x, y), and the way to its elbow."""
        start = np.array([self.chest + 6, self.apex + 16])
        return start, np.array([self.chest + 20 + self.arms, 150]) - start

    def half_width(self, y: Floats) -> Floats:
        """Return half the width of the rib cage at height `y`."""
        fall = np.clip(1 - (y - self.apex) / 150, 0, 1)
        width: Floats = self.chest * np.clip(1 - fall**2.3, 1e-6, 1) ** 0.58
        return width

    def cavity(self, x: Floats, y: Floats) -> Floats:
        """Return the depth of the rib cage, front to back, along the rays at (x, y)."""
        half_width = self.half_width(y)
        return 2 * self.flatness * half_width * dome(x / half_width)


@dataclass(frozen=True)
class View:
    """Where and how one image shows the patient: pose, breath and exposure."""

    size: int
    angle: float  # roll of the body in the image plane, radians
    twist: float  # turn about the body's axis: mm sideways for each mm towards the front
    shift: tuple[float, float]  # mm
    magnification: float
    breath: float  # 0 shallow to 1 deep
    exposure: float
    contrast: float

    @classmethod
    def of(cls, seed: int, subject: Subject, size: int) -> "View":
        """Return the view of one image."""
        draw = stream(seed, subject.patient, subject.image, "view").uniform
        return cls(
            size=size,
            angle=draw(-0.05, 0.05),
            twist=draw(-0.07, 0.07),
            shift=(draw(-6, 6), draw(-8, 8)),
            magnification=draw(0.94, 1.12),
            breath=draw(0, 1),
            exposure=float(np.exp(draw(-0.5, 0.5))),
            contrast=draw(0.85, 1.1),
        )

    @property
    def pixel(self) -> float:
        """Side of a pixel at the detector, mm."""
        return FIELD / self.size

    @cached_property
    def to_pixels(self) -> Floats:
        """The 2x3 matrix from anatomical mm to (column, row) of pixel centres."""
        scale = self.magnification / self.pixel
        c, s = scale * np.cos(self.angle), scale * np.sin(self.angle)
        middle = (self.size - 1) / 2
        return np.array([[c, -s, middle + self.shift[0] / self.pixel], [s, c, middle + self.shift[1] / self.pixel]])

    def grid(self) -> tuple[Floats, Floats]:
        """Return x and y, mm, at every pixel, float32 of shape (size, size)."""
        (xx, xy, x0), (yx, yy, y0) = cv2.invertAffineTransform(self.to_pixels)
        index = np.arange(self.size)
        x = xx * index[None, :] + xy * index[:, None] + x0
        y = yx * index[None, :] + yy * index[:, None] + y0
        return x.astype(np.float32), y.astype(np.float32)


class Drawing:
    """Thickness of one tissue, mm, drawn as antialiased shapes; where shapes overlap, the last one stays."""

    def __init__(self, view: View):
        self.view = view
        self.levels: Image = np.zeros((view.size, view.size), np.uint8)

    @property
    def thickness(self) -> Floats:
        """The drawn thickness in mm, float32 (size, size)."""
        return self.levels * np.float32(1 / LEVELS_PER_MM)

    def polygon(self, points: Floats, thickness: float) -> None:
        """Fill the polygon of (n, 2 or 3) `points` in mm."""
        cv2.fillPoly(self.levels, [self._place(points)], _level(thickness), cv2.LINE_AA, SUBPIXEL_BITS)

    def tube(self, centre: Floats, radius: Floats, chord: Callable[[Floats], Floats]) -> None:
        """Draw a tube along `centre` (n, 2 or 3); `chord`: thickness at a distance of 0 to 1 radius from the axis."""
        along = np.gradient(centre[:, :2], axis=0)
        across = np.zeros_like(centre)
        across[:, 0], across[:, 1] = -along[:, 1], along[:, 0]
        across *= (radius / np.hypot(along[:, 0], along[:, 1]))[:, None]
        edges = np.array([1, 0.95, 0.88, 0.8, 0.7, 0.55, 0.35, 0])
        half = edges[:-1, None, None] * across
        outlines = self._place(np.concatenate([centre + half, (centre - half)[:, ::-1]], axis=1))
        for outline, thickness in zip(outlines, chord((edges[:-1] + edges[1:]) / 2), strict=True):
            cv2.fillPoly(self.levels, [outline], _level(thickness), cv2.LINE_AA, SUBPIXEL_BITS)

    def vessels(self, lines: Floats, radius: float, counts: NDArray[Any]) -> None:
        """Draw vessels of one `radius`, mm, along polylines (count, n, 2).

        Those far from the lung may be left out; `counts` (size + 1, size + 1) tells how many of its pixels lie above and to the
        left of each corner.
        """
        width = 2 * radius * self.view.magnification / self.view.pixel
        placed = self._place(lines)
        around = int(width / 2) + 4  # strokes are blurred by up to 3 pixels
        ends = placed.min(1) // 2**SUBPIXEL_BITS - around, placed.max(1) // 2**SUBPIXEL_BITS + around + 1
        (left, top), (right, bottom) = (np.clip(end, 0, self.view.size).T for end in ends)
        within = counts[bottom, right] - counts[top, right] - counts[bottom, left] + counts[top, left]
        near = list(placed[within > 0])
        drawing = np.zeros_like(self.levels)
        for drawn in range(max(1, round(width)), 0, -2):  # from rim to axis, as round as pixels can show it
            chord = 2 * radius * np.sqrt(1 - ((drawn - 1) / width) ** 2)
            if width < 1.5:  # a pixel wide, and as thin as gives it the right mass
                chord = np.pi / 2 * radius * width
            cv2.polylines(drawing, near, False, _level(chord), drawn, cv2.LINE_AA, SUBPIXEL_BITS)
        np.maximum(self.levels, drawing, out=self.levels)  # a branch's rim must not cut through its parent

    def _place(self, points: Floats) -> NDArray[np.int32]:
        x, y = points[..., 0], points[..., 1]
        if points.shape[-1] == 3:
            x = x + self.view.twist * points[..., 2]
        (xx, xy, x0), (yx, yy, y0) = self.view.to_pixels
        placed = np.stack([xx * x + xy * y + x0, yx * x + yy * y + y0], -1)
        return np.asarray(np.round(placed * 2**SUBPIXEL_BITS), np.int32)


def _level(thickness: float) -> float:
    return float(min(round(thickness * LEVELS_PER_MM), 255))


def solid(radius: float) -> Callable[[Floats], Floats]:
    """Return the chord through a rod, for `Drawing.tube`."""
    return lambda v: 2 * radius * dome(v)


def shell(radius: float, cortex: float, marrow: float) -> Callable[[Floats], Floats]:
    """Return the chord through a tube of bone: a wall `cortex` mm thick around a share `marrow` of bone."""
    inner = radius - cortex
    return lambda v: 2 * radius * dome(v) - 2 * (1 - marrow) * inner * dome(v * radius / inner)


def texture(view: View, random: np.random.Generator, octaves: int, coarsest: float, fall: float) -> Floats:
    """Return noise of unit variance fixed to the body: `octaves` from `coarsest` mm down, each `fall` times the last.

    Octaves finer than a pixel are left out, so that another size shows the same texture.
    """
    total = np.zeros((view.size, view.size), np.float32)
    weights = fall ** np.arange(octaves)
    weights /= np.sqrt(0.73 * weights @ weights)  # cubic interpolation keeps 0.73 of white noise's variance
    for octave, weight in enumerate(weights.astype(np.float32)):
        spacing = coarsest / 2**octave
        if spacing < view.pixel / view.magnification:
            break
        nodes = int(1.3 * FIELD / spacing) + 4
        lattice = weight * random.standard_normal((nodes, nodes), dtype=np.float32)
        to_lattice = cv2.invertAffineTransform(view.to_pixels) / spacing
        to_lattice[:, 2] += nodes / 2
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        total += cv2.warpAffine(lattice, to_lattice, total.shape, flags=flags, borderMode=cv2.BORDER_REFLECT)
    return total


def curve(points: list[tuple[float, ...]], count: int) -> Floats:
    """Return `count` points of a smooth curve through `points`."""
    knots = np.array(points, float)
    distance = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(knots, axis=0), axis=1))])
    smooth: Floats = PchipInterpolator(distance, knots)(np.linspace(0, distance[-1], count))
    return smooth


def trunk(anatomy: Anatomy, x: Floats, y: Floats) -> Floats:
    """Return the depth of trunk, shoulders, neck and arms, skin to skin, as if nothing in them were air."""
    across = np.abs(x) / (anatomy.chest + anatomy.wall)
    shoulder = anatomy.apex - 72 + 36 * (1 - np.exp(-np.clip(np.abs(x) - 30, 0, None) / 30))
    torso = 2 * (anatomy.flatness * anatomy.chest + anatomy.wall) * dome(across**2.5)
    torso *= np.sqrt(np.clip((y - shoulder) / 70, 0, 1))
    neck = 72 * dome(x / 38) * np.clip((10 - y) / 60, 0, 1)
    start, run = np.array(anatomy.upper_arm, np.float32)
    u, v = np.abs(x) - start[0], y - start[1]
    along = np.clip((u * run[0] + v * run[1]) / (run @ run), 0, 1)
    arms = 54 * dome((u - along * run[0]) / 27, (v - along * run[1]) / 27)
    union: Floats = np.sqrt(np.sqrt(torso**4 + neck**4 + arms**4))  # the deepest, without a crease where they cross
    return union


def lungs(anatomy: Anatomy, breath: float, x: Floats, y: Floats) -> Floats:
    """Return the depth of lung along the rays at (x, y): the rib cage less abdomen, heart and mediastinum."""
    left = anatomy.cavity(x, y) * (1 - abdomen(anatomy, breath, x, y)) - mediastinum(anatomy, x, y)
    return np.asarray(np.clip(left, 0, None))


def mediastinum(anatomy: Anatomy, x: Floats, y: Floats) -> Floats:
    """Return the depth of heart, great vessels and the bulk beside the spine."""
    heights = [-130, -95, -70, -45, -32, -22, -8, 8, 25, 42, 60, 80, 120]
    right = [20, 20, 21, 24, 24, 22, 24, 31, 36, 37, 33, 25, 20]  # superior vena cava, right atrium
    left = [19, 19, 20, 23, 28, 25, 33, 48, 63, 74, 78, 60, 20]  # aortic knob, pulmonary trunk, left ventricle
    table = np.linspace(-130, 120, 501)
    right_edge, left_edge = (
        np.interp(y, table, 17 + anatomy.heart * (PchipInterpolator(heights, side)(table) - 17)).astype(np.float32)
        for side in (right, left)
    )
    heart = 109 * anatomy.flatness * dome((2 * x + right_edge - left_edge) / (right_edge + left_edge))
    return heart + 55 * np.clip(1 - (x / 24) ** 2, 0, 1)


def abdomen(anatomy: Anatomy, breath: float, x: Floats, y: Floats) -> Floats:
    """Return the share of the rib cage's depth that lies below the diaphragm's domes."""
    top = 49 + 3 * np.tanh(x / 15) + 12 * np.float32(breath - 0.5)  # the liver lifts the right one
    away = (np.abs(x) - 48 * np.float32(anatomy.chest / 105)) / 55
    away = np.where(away > 0, away, 0.45 * away) ** 2  # flat towards the spine, steep towards the side
    below = np.clip((y - top - 17 * away - 9 * away**2) / 52, 0, 1)
    return dome(1 - below)


def gas(view: View, anatomy: Anatomy, x: Floats, y: Floats) -> Floats:
    """Return the depth of air in windpipe, main bronchi and stomach."""
    airway = Drawing(view)
    trachea = curve([(0, -130, 20), (1, -90, 8), (-3, -50, -8), (-2, -24, -12)], 30)
    right = curve([(-2, -26, -12), (-10, -14, -12), (-22, 4, -14), (-30, 22, -18)], 20)
    left = curve([(-1, -26, -12), (12, -16, -14), (27, -6, -18), (40, 14, -24)], 20)
    for path, start, end in ((right, 4.4, 1.2), (left, 4.0, 1.2), (trachea, 5.4, 5.0)):
        airway.tube(path, np.linspace(start, end, len(path)), solid((start + end) / 2))
    middle_x, middle_y, half_width, half_height = np.array(anatomy.stomach, np.float32)
    stomach = 2 * half_height * dome((x - middle_x) / half_width, (y - middle_y) / half_height)
    return np.asarray(airway.thickness + stomach)


def vessel_tree(random: np.random.Generator, root: tuple[float, float], side: int) -> Iterator[tuple[float, Floats]]:
    """Yield the vessels of one lung by calibre: the radius, mm, and polylines (count, 4, 2) of that radius.

    From the hilum at `root` each parent splits in two, the finer child turning off more; the cubes of the radii add up
    (Murray 1926).
    """
    trunks = 5
    position = np.array(root) + random.normal(0, 5, (trunks, 2))
    heading = np.linspace(-1.25, 1.35, trunks) + random.normal(0, 0.12, trunks)  # from sideways, positive downwards
    radius = random.uniform(3.2, 5.6, trunks)
    radii, lines = [], []
    while len(radius):
        count = len(radius)
        step = (3.8 * radius + 2.6) * random.uniform(0.6, 1.5, count) / 3
        step *= np.cos(random.uniform(-1.2, 1.2, count))  # runs partly towards or away from the eye
        line = [position]
        for _ in range(3):
            heading = heading + random.normal(0, 0.13, count)
            line.append(line[-1] + step[:, None] * np.stack([side * np.cos(heading), np.sin(heading)], 1))
        radii.append(radius)
        lines.append(np.stack(line, 1))
        share = random.uniform(0.5, 0.86, count)
        turn = random.choice([-1, 1], count)
        radius = np.concatenate([radius * share ** (1 / 3), radius * (1 - share) ** (1 / 3)])
        heading = np.concatenate([heading - 0.12 * turn, heading + turn * random.uniform(0.4, 1.0, count)])
        visible = radius > 0.42
        radius, heading, position = radius[visible], heading[visible], np.tile(line[-1], (2, 1))[visible]
    calibres = np.geomspace(0.4, 6.0, 16)
    which = np.digitize(np.concatenate(radii), calibres)
    for calibre in np.unique(which):
        yield float(calibres[calibre - 1] * 1.09), np.concatenate(lines)[which == calibre]


def vessels(view: View, seed: int, patient: int, lung: Floats) -> Floats:
    """Return the thickness of the lungs' arteries and veins where the depth of `lung` (size, size) is not 0."""
    counts = cv2.integral((lung > 0).astype(np.uint8))
    total = np.zeros((view.size, view.size), np.float32)
    for kind in ("arteries", "veins"):
        drawing = Drawing(view)
        for side, root in ((-1, (-33.0, -2.0)), (1, (39.0, -10.0))):
            for radius, lines in vessel_tree(stream(seed, patient, kind, side + 1), root, side):
                drawing.vessels(lines, radius, counts)
        total += drawing.thickness
    return total


def rib(anatomy: Anatomy, number: int, side: int) -> Floats:
    """Return the centre line (70, 3) of rib 1 to 12, from the spine around the side to its cartilage in front."""
    end = np.interp(number, [1, 2, 7, 10, 11, 12], [2.5, 2.35, 2.25, 2.0, 1.75, 1.5])
    turn = np.linspace(0.13, end, 70)  # radians around the chest: 0 behind, pi / 2 at the side
    height = anatomy.apex + 10 + anatomy.rib_spacing * (number - 1)
    width = float(anatomy.half_width(np.array(height + 20))) + 2.5
    depth = anatomy.flatness * width
    slope = anatomy.rib_slope * np.interp(number, [1, 2, 6, 12], [1.3, 1.0, 0.9, 1.3])
    rise = 5 * np.sin(2 * np.minimum(turn, np.pi / 2))
    fall = slope * depth * (1 - np.cos(turn)) + 9 * np.clip(turn - 1.2, 0, None) ** 2
    return np.stack([side * width * np.sin(turn), height + fall - rise, -depth * np.cos(turn)], 1)


def ribs(view: View, anatomy: Anatomy, seed: int, patient: int, x: Floats, y: Floats) -> Floats:
    """Return the thickness of bone in the ribs, thicker where they turn along the ray at the chest's sides."""
    random = stream(seed, patient, "ribs")
    drawings = [Drawing(view) for _ in range(4)]  # neighbours, and back and front, overlap: each adds to the rays
    for number in range(1, 13):
        for side in (-1, 1):
            path = rib(anatomy, number, side)
            path[:, 1] += random.normal(0, 0.9)
            size = anatomy.rib_radius * random.uniform(0.92, 1.08) * (0.85 if number in (1, 12) else 1)
            radius = size * np.interp(np.arange(70), [0, 8, 40, 66, 68, 69], [0.9, 1.0, 0.95, 1.15, 1.0, 0.5])
            side_point = int(np.searchsorted(path[:, 2], 0))
            for front, part in enumerate((slice(0, side_point + 1), slice(side_point, None))):
                if len(path[part]) > 2:
                    chord = shell(size, 0.85 * anatomy.bone, 0.22)
                    drawings[2 * front + number % 2].tube(path[part], radius[part], chord)
    across = x / (anatomy.half_width(y) + 2)
    bone: Floats = np.sum([drawing.thickness for drawing in drawings], axis=0)
    bone /= np.sqrt(np.clip(1 - across**2, 0, 1) + np.float32(0.2))
    return bone


def spine(view: View, anatomy: Anatomy) -> Floats:
    """Return the thickness of bone in the vertebrae: body, end plates, pedicles, transverse and spinous processes."""
    bodies, pedicles, processes = Drawing(view), Drawing(view), Drawing(view)
    turn = np.linspace(0, 2 * np.pi, 32)
    oval = np.stack([np.cos(turn), np.sin(turn), np.zeros(32)], 1)
    block = np.sign(oval) * np.abs(oval) ** 0.45
    block[:, 0] *= 1 - 0.09 * (1 - np.abs(oval[:, 1]))  # a waist
    wing = np.array([(6, -3, 0), (17, -5.5, 0), (21, -4.5, 0), (21, -1, 0), (16, 0.5, 0), (6, 3, 0)])
    for level in range(-4, 14):
        y = anatomy.apex + 12 + anatomy.rib_spacing * (level + 0.15)
        width, height = 12.2 + 0.28 * level, 0.39 * anatomy.rib_spacing
        bodies.polygon(block * [width, height, 0] + [0, y, -30], 5.0 * anatomy.bone)
        bodies.polygon(block * [width - 0.8, height - 0.8, 0] + [0, y, -30], 2.6 * anatomy.bone)
        for side in (-1, 1):
            pedicle = [side * 0.74 * width, y - 1, -44]
            pedicles.polygon(oval * [2.7, 3.6, 0] + pedicle, 2.6)
            pedicles.polygon(oval * [1.5, 2.0, 0] + pedicle, 0.7)
            processes.polygon(wing * [side, 1, 0] + [0, y - 1, -50], 1.3 * anatomy.bone)
        processes.polygon(oval * [2.0, 5.0, 0] + [0, y + 6, -62], 2.2)
        processes.polygon(oval * [1.2, 3.0, 0] + [0, y + 6, -62], 1.0)
    return bodies.thickness + pedicles.thickness + processes.thickness


def shoulders(view: View, anatomy: Anatomy, seed: int, patient: int) -> Floats:
    """Return the thickness of bone in clavicles, shoulder blades and upper arms."""
    clavicles, blades, humeri = Drawing(view), Drawing(view), Drawing(view)
    lift = stream(seed, patient, "shoulders").uniform(-6, 8)
    top, out = anatomy.apex, 0.92 * anatomy.chest
    start, run = anatomy.upper_arm
    collar = [(9, 20, 45), (28, 9, 48), (50, 3 - lift / 2, 30), (74, -3 - lift, 5), (98, -5 - lift, -8)]
    rim = [(8, 12), (2, 32), (-14, 86), (-26, 96), (-38, 60), (-34, 22), (-10, 8)]
    for side in (-1, 1):
        clavicle = curve([(side * x, top + y, z) for x, y, z in collar], 60)
        radius = np.interp(np.linspace(0, 1, 60), [0, 0.03, 0.15, 0.5, 0.85, 0.96, 1], [2.5, 4.6, 3.4, 2.8, 3.3, 4.2, 1.0])
        clavicles.tube(clavicle, radius, shell(3.2, 1.2 * anatomy.bone, 0.45))
        blade = curve([(side * (out + x), top + y, -55.0) for x, y in rim], 60)
        blades.polygon(blade, 0.9)
        blades.tube(blade[2:28], np.interp(np.arange(26), [0, 3, 9, 26], [0.8, 3.2, 2.0, 1.0]), shell(2.2, 0.8, 0.25))
        shaft = (start + np.linspace(0, 1, 40)[:, None] * run) * [side, 1]
        radius = np.interp(np.arange(40), [0, 0.5, 2, 4, 8, 40], [4, 8, 10.5, 9.5, 6, 5.5])
        humeri.tube(shaft, radius, shell(6, 1.3, 0.25))
    return clavicles.thickness + blades.thickness + humeri.thickness


def infiltrate(view: View, seed: int, subject: Subject, x: Floats, y: Floats) -> Floats:
    """Return the share of the lung's air that pneumonia has replaced, 0 to 1, of shape (size, size)."""
    random = stream(seed, subject.patient, "disease")

    def patch(side: int, out: tuple[float, float], extent: tuple[float, float]) -> Floats:
        u = (x - np.float32(side * random.uniform(*out))) / np.float32(random.uniform(*extent))
        v = (y - np.float32(random.uniform(-40, 50))) / np.float32(random.uniform(*extent))
        return np.asarray(np.exp(-(u**2 + v**2)))

    fluff = texture(view, stream(seed, subject.patient, "fluff"), 6, 24, 0.6)
    if subject.disease == "virus":  # hazy and net-like, in both lungs
        net = np.clip(1 - 1.6 * np.abs(texture(view, stream(seed, subject.patient, "net"), 4, 8, 0.75)), 0, 1)
        where = np.sum([patch(side, (18, 42), (40, 60)) for side in (-1, 1, -1, 1, 1)], axis=0)
        return np.asarray(np.clip(where, 0, 1) * np.clip(0.16 + 0.07 * fluff + 0.13 * net, 0, 0.7))
    where = np.max([patch(side, (30, 75), (20, 38)) for side in random.choice([-1, 1], random.integers(1, 4))], axis=0)
    strength = np.float32(random.uniform(0.45, 0.95))
    return np.asarray(strength / (1 + np.exp(-6 * (where + 0.15 * fluff - 0.55))))


def marker(view: View, seed: int, subject: Subject) -> Floats:
    """Return the thickness of lead in the letter that tells the sides apart, on two images of three."""
    random = stream(seed, subject.patient, subject.image, "marker")
    letter = Drawing(view)
    if random.random() < 2 / 3:
        side = int(random.integers(2))
        where = [0.06 + 0.8 * side + random.uniform(-0.03, 0.03), random.uniform(0.08, 0.2)]
        column, row = (round(view.size * share) for share in where)
        size, stroke = view.size / 600, max(1, view.size // 200)
        font = cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(letter.levels, "RL"[side], (column, row), font, size, _level(0.5), stroke, cv2.LINE_AA)
    return letter.thickness


def attenuation(seed: int, subject: Subject, view: View) -> Floats:
    """Return the line integral of attenuation along each ray, float32 (size, size), without a unit."""
    anatomy, patient = Anatomy.of(seed, subject.patient), subject.patient
    x, y = view.grid()
    lung = lungs(anatomy, view.breath, x, y)
    lung -= np.minimum(vessels(view, seed, patient, lung), lung)
    filled = 0.03 * texture(view, stream(seed, patient, "parenchyma"), 4, 6, 0.9)
    if subject.disease != "none":
        filled += infiltrate(view, seed, subject, x, y)
    lung *= 1 - filled
    bone = ribs(view, anatomy, seed, patient, x, y) + spine(view, anatomy) + shoulders(view, anatomy, seed, patient)
    bone *= 1 + 0.13 * texture(view, stream(seed, patient, "trabeculae"), 4, 4, 0.9)
    body = trunk(anatomy, x, y) * (1 + 0.02 * texture(view, stream(seed, patient, "muscle"), 5, 40, 0.6))
    flesh = np.clip(body - lung - bone - gas(view, anatomy, x, y), 0, None)
    lead = marker(view, seed, subject)
    return np.asarray(flesh * SOFT_TISSUE + lung * INFLATED_LUNG + bone * CORTICAL_BONE + lead * LEAD)


def intensity(line_integral: Floats) -> Floats:
    """Return the share of the photons that passes, by Beer and Lambert's law."""
    return np.asarray(np.exp(-line_integral))


def detect(passed: Floats, view: View, random: np.random.Generator) -> Floats:
    """Return what the detector reads, as a share of the open beam: with scatter, quantum noise and blur."""
    primary = passed + np.float32(0.35) * _broad(passed)
    quanta = QUANTA * view.exposure * view.pixel**2
    noise = np.sqrt(primary / np.float32(quanta)) * random.standard_normal(primary.shape, dtype=np.float32)
    # A point spreads by 0.15 mm in the scintillator and by a quarter of a pixel in the sampling.
    spread = float(np.hypot(0.15 / view.pixel, 0.25))
    return np.asarray(cv2.GaussianBlur(np.clip(primary + noise, 1e-5, None), (0, 0), spread))


def display(read: Floats, view: View) -> Image:
    """Return the picture as shown: logarithm, broad differences evened out, then a window set by the image itself."""
    density = -np.log(read)
    density -= np.float32(0.55) * _broad(density)
    step, edge = max(1, view.size // 128), view.size // 8
    low, high = np.percentile(density[2 * edge :: step, edge:-edge:step], [3, 98])
    middle, steepness = 0.58 * low + 0.42 * high, 3.7 * view.contrast / (high - low)
    return np.asarray(np.round(255 / (1 + np.exp(steepness * (middle - density)))), np.uint8)


def _broad(image: Floats) -> Floats:
    """Blur `image` by 22 mm, worked out on 64 x 64 pixels."""
    small = cv2.GaussianBlur(cv2.resize(image, (64, 64), interpolation=cv2.INTER_AREA), (0, 0), 64 * 22 / FIELD)
    return cv2.resize(small, image.shape, interpolation=cv2.INTER_CUBIC)


def expose(seed: int, subject: Subject, size: int) -> Image:
    """Return the radiograph of `subject`, uint8 (size, size)."""
    view = View.of(seed, subject, size)
    passed = intensity(attenuation(seed, subject, view))
    return display(detect(passed, view, stream(seed, subject.patient, subject.image, "noise")), view)
