"""How disease shows in an image: what it puts in the place of lung along each ray, and a box around each lesion."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from cxr.sources.phantom import lesions
from cxr.sources.phantom.anatomy import FINDINGS, Anatomy, Floats, Kind, Subject, dome, stream
from cxr.sources.phantom.drawing import Drawing, texture
from cxr.sources.phantom.lesions import Ball, Lesions, Patch
from cxr.sources.phantom.view import View
from cxr.sources.phantom.volumes import carried

BOX_ROWS = 96  # of the small image in which opacities are told from each other
BOX_SHARE = 0.35  # of an opacity's greatest thickness, from which on it lies in its box
BOX_LEAST = 120.0  # mm2 of an opacity that gets a box


class Box(NamedTuple):
    """Where a lesion is seen, in shares of the image's width and height."""

    finding: str
    left: float
    top: float
    width: float
    height: float


class Change(NamedTuple):
    """What disease makes of the lung along each ray: float32 of the view's shape."""

    filled: Floats
    """The share of the air that has been replaced by what is as dense as soft tissue, 0 to 1."""
    tissue: Floats
    """Solid tissue in the place of lung, mm."""
    air: Floats
    """Air of cavities in the place of lung, mm."""
    boxes: tuple[Box, ...]


def change(view: View, seed: int, subject: Subject, anatomy: Anatomy, x: Floats, y: Floats, lung: Floats) -> Change:
    """Return what the diseases of `subject` do where the lung is `lung` mm deep at (x, y)."""
    filled, tissue, air = (np.zeros(view.shape, np.float32) for _ in range(3))
    boxes: list[Box] = []
    for kind in subject.kinds:
        ill, finding = lesions_of(seed, subject.patient, kind, anatomy), FINDINGS[kind]
        bodies = (*ill.nodules, *(wall for wall, _ in ill.cavities))
        hollow = _longest(view, anatomy, x, y, [inner for _, inner in ill.cavities])
        solid = np.clip(_longest(view, anatomy, x, y, [*bodies, *ill.satellites]) - hollow, 0, None)
        solid += _strands(view, anatomy, ill)
        room = np.minimum(1, lung / np.maximum(solid + hollow, 1e-3))  # there is no more lung to replace
        tissue += solid * room
        air += hollow * room
        if ill.patches:
            opacity = _opacity(view, seed, subject.patient, kind, ill, x, y)
            boxes += _around_opacities(finding, opacity * lung + solid * room, view)
            filled = np.maximum(filled, opacity)
        boxes += [_around(finding, ball, view, anatomy) for ball in bodies]
    crowded = np.minimum(1, lung / np.maximum(tissue + air, 1e-3))  # where two diseases meet
    return Change(filled, tissue * crowded, air * crowded, tuple(boxes))


def lesions_of(seed: int, patient: int, kind: Kind, anatomy: Anatomy) -> Lesions:
    """Return what is ill in a patient by one kind of disease."""
    random = stream(seed, patient, "disease", kind)
    match kind:
        case "bacteria":
            return lesions.bacterial(random)
        case "virus":
            return lesions.viral(random)
        case "tuberculosis":
            return lesions.tuberculous(random, anatomy)
        case "nodule":
            return lesions.nodular(random, anatomy)


def _opacity(view: View, seed: int, patient: int, kind: Kind, ill: Lesions, x: Floats, y: Floats) -> Floats:
    """Return the share of the lung's air that the patches of opacity have replaced."""

    def density(patch: Patch) -> Floats:
        u, v = ((at - np.float32(centre)) / np.float32(extent) for at, centre, extent in zip((x, y), *patch, strict=True))
        return np.asarray(np.exp(-(u**2 + v**2)))

    coarsest = 11 if kind == "tuberculosis" else 24
    fluff = texture(view, stream(seed, patient, "fluff"), 6, coarsest, 0.6)
    if kind == "virus":  # hazy and net-like
        net = np.clip(1 - 1.6 * np.abs(texture(view, stream(seed, patient, "net"), 4, 8, 0.75)), 0, 1)
        where = np.sum([density(patch) for patch in ill.patches], axis=0)
        return np.asarray(np.clip(where, 0, 1) * np.clip(0.16 + 0.07 * fluff + 0.13 * net, 0, ill.strength))
    where = np.max([density(patch) for patch in ill.patches], axis=0)
    where *= 1 + (0.4 if kind == "tuberculosis" else 0.25) * fluff
    healthy = 1 / (1 + np.exp(6 * 0.55))  # far from all patches
    dense = 1 / (1 + np.exp(-6 * (where - np.float32(0.55))))
    return np.asarray(ill.strength * np.clip((dense - healthy) / (1 - healthy), 0, 1), np.float32)


def _longest(view: View, anatomy: Anatomy, x: Floats, y: Floats, balls: Sequence[Ball]) -> Floats:
    """Return how far each ray runs through one of `balls`, mm; where several overlap, the longest way."""
    longest = np.zeros(view.shape, np.float32)
    for ball in balls:
        edges = np.clip(_edges(ball, view, anatomy), 0, None).astype(int)
        left, top, right, bottom = edges.tolist()
        window = slice(top, bottom + 2), slice(left, right + 2)
        centre_x, centre_y, z = _seen(ball.centre, view, anatomy)
        u = (x[window] - np.float32(centre_x + view.twist * z)) / np.float32(ball.radius)
        v = (y[window] - np.float32(centre_y)) / np.float32(ball.radius)
        chord = 2 * np.float32(ball.radius) * dome(np.hypot(u, v) / ball.reach(np.arctan2(v, u)))
        longest[window] = np.maximum(longest[window], chord)
    return longest


def _strands(view: View, anatomy: Anatomy, ill: Lesions) -> Floats:
    """Return the thickness of the strands of tissue, mm."""
    drawing = Drawing(view)
    for strand in ill.strands:
        points = np.stack([_seen(point, view, anatomy) for point in strand.points])
        drawing.strands(points[None], strand.radius)
    return drawing.thickness


def _seen(point: Floats, view: View, anatomy: Anatomy) -> Floats:
    """Return where the breath of `view` carries a point (3) of the lung."""
    return np.array([point[0], carried(anatomy, view.breath, point[1]), point[2]])


def _edges(ball: Ball, view: View, anatomy: Anatomy) -> tuple[float, float, float, float]:
    """Return the least and greatest column and row, as left, top, right and bottom, that a ball's outline reaches."""
    angle = np.linspace(0, 2 * np.pi, 128)
    reach = ball.radius * ball.reach(angle)
    around = np.stack([reach * np.cos(angle), reach * np.sin(angle), np.zeros(128)], 1)
    placed = view.place(_seen(ball.centre, view, anatomy) + around)
    (left, top), (right, bottom) = placed.min(0), placed.max(0)
    return float(left), float(top), float(right), float(bottom)


def _around(finding: str, ball: Ball, view: View, anatomy: Anatomy) -> Box:
    """Return the box of a ball, as far as it is in the image."""
    height, width = view.shape
    edges = (np.array(_edges(ball, view, anatomy)) + 0.5) / [width, height, width, height]
    left, top, right, bottom = map(float, np.clip(edges, 0, 1))
    return Box(finding, left, top, right - left, bottom - top)


def _around_opacities(finding: str, thickness: Floats, view: View) -> list[Box]:
    """Return a box for each connected part of an opacity that replaces `thickness` mm of lung."""
    columns = round(BOX_ROWS * view.shape[1] / view.size)
    small = cv2.resize(thickness, (columns, BOX_ROWS), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), 2)
    mask = (small > BOX_SHARE * small.max()).astype(np.uint8)
    _, _, parts, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    boxes = []
    least = min(BOX_LEAST * (BOX_ROWS / (view.pixel * view.size)) ** 2, parts[1:, cv2.CC_STAT_AREA].max())
    for left, top, width, height, area in parts[1:].tolist():
        if area >= least:
            boxes.append(Box(finding, left / columns, top / BOX_ROWS, width / columns, height / BOX_ROWS))
    return boxes
