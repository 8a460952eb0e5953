"""What is ill in a patient: where in the body, how large and of which shape; every image of the patient shows the same.

Terms and sizes follow the glossary of the Fleischner Society (Hansell et al., Radiology 246:697, 2008): a nodule is a rounded
opacity of up to 30 mm, a cavity a gas-filled space within a consolidation or nodule. Tuberculosis is drawn as after primary
infection (Leung, Radiology 210:307, 1999): patchy opacities in the apical and posterior parts of the upper lobes, cavities
with thick irregular walls, satellite nodules where it has spread along airways, and strands towards the hilum.
Children seldom have this form, and seldom nodules: the phantoms' bodies are children's, what is ill in them is any age's.
"""

from typing import NamedTuple

import numpy as np

from cxr.sources.phantom.anatomy import Anatomy, Floats
from cxr.sources.phantom.drawing import curve
from cxr.sources.phantom.volumes import span

TURNS = np.arange(2, 7, dtype=np.float32)  # waves around an outline
HILUM = (36.0, -6.0, -14.0)


class Patch(NamedTuple):
    """An opacity without a sharp edge: centre and half axes, mm."""

    centre: tuple[float, float]
    extent: tuple[float, float]


class Ball(NamedTuple):
    """A roundish body: centre (3) when the breath is half deep, and radius, mm; `waves` (2, 5): how its outline departs."""

    centre: Floats
    radius: float
    waves: Floats

    def reach(self, angle: Floats) -> Floats:
        """Return the outline's distance from the centre at each `angle`, as a share of the radius."""
        reach = np.ones_like(angle)
        for turns, cosine, sine in zip(TURNS, *self.waves, strict=True):
            reach += np.float32(cosine) * np.cos(turns * angle) + np.float32(sine) * np.sin(turns * angle)
        return reach


class Strand(NamedTuple):
    """A thin line of tissue: points (n, 3) when the breath is half deep, and its radius, mm."""

    points: Floats
    radius: float


class Lesions(NamedTuple):
    """All that is ill by one kind of disease."""

    strength: float = 0.0  # greatest share of the air that the patches replace
    patches: tuple[Patch, ...] = ()
    nodules: tuple[Ball, ...] = ()
    cavities: tuple[tuple[Ball, Ball], ...] = ()  # outside of the wall, and the air within
    satellites: tuple[Ball, ...] = ()
    strands: tuple[Strand, ...] = ()


def bacterial(random: np.random.Generator) -> Lesions:
    """Return one to three consolidations."""
    sides = random.choice([-1, 1], random.integers(1, 4))
    patches = tuple(_patch(random, side, (30, 75), (20, 38)) for side in sides)
    return Lesions(random.uniform(0.45, 0.95), patches)


def viral(random: np.random.Generator) -> Lesions:
    """Return hazy opacities in both lungs."""
    return Lesions(0.7, tuple(_patch(random, side, (18, 42), (40, 60)) for side in (-1, 1, -1, 1, 1)))


def tuberculous(random: np.random.Generator, anatomy: Anatomy) -> Lesions:
    """Return opacities of one or both upper lobes, with one to three cavities, and often satellites and strands."""
    first = int(random.choice([-1, 1]))
    sides = (first, -first) if random.random() < 0.4 else (first,)
    patches, cavities, satellites, strands = [], [], [], []
    scarred, spread = random.random() < 0.65, random.random() < 0.65
    for number, side in enumerate(sides):
        focus = None
        for _ in range(int(random.integers(1 - number, 3 - number))):
            radius = random.uniform(9, 16) * (1 - 0.25 * number)
            outer = Ball(_upper(random, anatomy, side, radius), radius, _waves(random, 0.05))
            shift = random.normal(0, 0.06 * radius, 3)
            inner = radius - random.uniform(2.2, 0.36 * radius)
            cavities.append((outer, Ball(outer.centre + shift, inner, _waves(random, 0.07))))
            focus = outer.centre
        if focus is None:
            focus = _upper(random, anatomy, side, 6)
        for _ in range(int(random.integers(2, 5))):
            x, y = focus[:2] + random.normal(0, [9, 8])
            patches.append(Patch((float(x), float(y)), (random.uniform(9, 19), random.uniform(8, 15))))
        for _ in range(int(random.integers(7, 16)) if spread else 0):
            radius = random.uniform(1, 2.4)
            centre = focus + random.normal(0, [16, 17, 10])
            if fits(anatomy, centre, radius):
                satellites.append(Ball(centre, radius, _waves(random, 0.1)))
        for _ in range(int(random.integers(3, 7)) if scarred else 0):
            start, end = focus + random.normal(0, 5, 3), np.array(HILUM) * (side, 1, 1) + random.normal(0, [4, 8, 4])
            middle = (start + end) / 2 + random.normal(0, 4, 3)
            strands.append(Strand(curve([tuple(start), tuple(middle), tuple(end)], 12), random.uniform(0.4, 0.9)))
    strength = random.uniform(0.25, 0.5)
    return Lesions(strength, tuple(patches), (), tuple(cavities), tuple(satellites), tuple(strands))


def nodular(random: np.random.Generator, anatomy: Anatomy) -> Lesions:
    """Return one to three nodules, 3 to 30 mm across, smooth or spiculated, each anywhere in the lungs' volume."""
    nodules, strands = [], []
    for _ in range(int(random.choice([1, 2, 3], p=[0.6, 0.25, 0.15]))):
        radius = float(np.exp(random.uniform(np.log(1.5), np.log(15))))
        spiculated = random.random() < 0.4
        centre = _anywhere(random, anatomy, radius)
        nodules.append(Ball(centre, radius, _waves(random, 0.05 if spiculated else 0.015)))
        for _ in range(int(random.integers(12, 24)) if spiculated else 0):
            way = random.normal(size=3)
            way /= np.linalg.norm(way)
            bent = way + random.normal(0, 0.12, 3)
            points = centre + np.stack([0.6 * way, way, bent * random.uniform(1.25, 1.8)]) * radius
            strands.append(Strand(points, random.uniform(0.4, 0.9) * min(1, radius / 6)))
    return Lesions(nodules=tuple(nodules), strands=tuple(strands))


def fits(anatomy: Anatomy, centre: Floats, radius: float) -> bool:
    """Tell whether a ball lies in the lung at half a breath: its centre and the six points straight away from it."""
    steps = radius * np.array([(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)])
    back, front = span(anatomy, 0.5, *(centre[:2] + steps).T)
    deep = np.array([radius, 0, 0, 0, 0])
    return bool(np.all((back + deep < centre[2]) & (centre[2] < front - deep)))


def _anywhere(random: np.random.Generator, anatomy: Anatomy, radius: float) -> Floats:
    """Return a place for a ball, as likely in each part of the lungs' volume."""
    half = np.array([anatomy.chest, (90 - anatomy.apex) / 2, anatomy.flatness * anatomy.chest])
    while True:
        centre = np.array([0, (90 + anatomy.apex) / 2, 0]) + random.uniform(-half, half)
        if fits(anatomy, centre, radius):
            return np.asarray(centre)


def _upper(random: np.random.Generator, anatomy: Anatomy, side: int, radius: float) -> Floats:
    """Return a place for a ball in the apical and posterior part of a lung's upper third."""
    while True:
        centre = np.array([side * random.uniform(22, 62), anatomy.apex + random.uniform(14, 54), random.uniform(-40, 8)])
        if fits(anatomy, centre, radius):
            return centre


def _patch(random: np.random.Generator, side: int, out: tuple[float, float], extent: tuple[float, float]) -> Patch:
    x, width, y, height = side * random.uniform(*out), random.uniform(*extent), random.uniform(-40, 50), random.uniform(*extent)
    return Patch((x, y), (width, height))


def _waves(random: np.random.Generator, share: float) -> Floats:
    return np.asarray(random.normal(0, share, (2, len(TURNS))) / TURNS * 2)
