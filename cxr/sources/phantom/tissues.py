"""The tissues: how much of each lies along every ray, and what that takes from the beam."""

from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np

from cxr.sources.phantom.anatomy import Anatomy, Floats, Subject, dome, stream
from cxr.sources.phantom.disease import Box, change
from cxr.sources.phantom.drawing import Drawing, curve, shell, solid, texture
from cxr.sources.phantom.marker import marker
from cxr.sources.phantom.view import View
from cxr.sources.phantom.volumes import lungs, trunk

# Linear attenuation at 60 keV, 1/mm: NIST tables of mass attenuation (Hubbell and Seltzer 1995) times ICRU-44 densities.
SOFT_TISSUE = 0.02048 * 1.06
CORTICAL_BONE = 0.03148 * 1.92
INFLATED_LUNG = 0.02053 * 0.26
LEAD = 0.5021 * 11.35


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
    """Return the thickness of the lungs' arteries and veins where the depth of `lung` (height, width) is not 0."""
    counts = cv2.integral((lung > 0).astype(np.uint8))
    total = np.zeros(view.shape, np.float32)
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


def attenuation(seed: int, subject: Subject, view: View) -> tuple[Floats, tuple[Box, ...]]:
    """Return the line integral of attenuation along each ray, float32 of the view's shape without a unit, and what is ill."""
    patient = subject.patient
    anatomy = body = Anatomy.of(seed, patient)
    if view.projection == "AP":  # the heart lies in front, far from the detector, which enlarges it
        anatomy = replace(anatomy, heart=1.12 * anatomy.heart)
    x, y = view.grid()
    lung = lungs(anatomy, view.breath, x, y)
    lung -= np.minimum(vessels(view, seed, patient, lung), lung)
    ill = change(view, seed, subject, body, x, y, lung)
    lung -= ill.tissue + ill.air
    lung *= np.clip(1 - ill.filled - 0.03 * texture(view, stream(seed, patient, "parenchyma"), 4, 6, 0.9), 0, None)
    bone = ribs(view, anatomy, seed, patient, x, y) + spine(view, anatomy) + shoulders(view, anatomy, seed, patient)
    bone *= 1 + 0.13 * texture(view, stream(seed, patient, "trabeculae"), 4, 4, 0.9)
    depth = trunk(anatomy, x, y) * (1 + 0.02 * texture(view, stream(seed, patient, "muscle"), 5, 40, 0.6))
    flesh = np.clip(depth - lung - bone - ill.air - gas(view, anatomy, x, y), 0, None)
    lead = marker(view, seed, subject)
    return flesh * SOFT_TISSUE + lung * INFLATED_LUNG + bone * CORTICAL_BONE + lead * LEAD, ill.boxes
