"""The body's smooth volumes, which formulas give: how deep each is along a ray."""

from functools import cache

import numpy as np
from scipy.interpolate import PchipInterpolator

from cxr.sources.phantom.anatomy import Anatomy, Floats, dome

OUTLINE = np.linspace(-130, 120, 501)  # heights at which the mediastinum's outline is worked out, mm
DIAPHRAGM = 49  # height of the diaphragm when the breath is half deep, mm
LIFT = 12  # way of the diaphragm from a shallow to a deep breath, mm


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
    back, front = span(anatomy, breath, x, y)
    return np.asarray(front - back)


def span(anatomy: Anatomy, breath: float, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Return z where the lung begins and ends along the rays at (x, y), equal where there is none.

    It lies before the spine and behind heart and abdomen, as in the posterior costophrenic recess.
    """
    cavity = anatomy.cavity(x, y)
    depth = np.clip(cavity * (1 - abdomen(anatomy, breath, x, y)) - mediastinum(anatomy, x, y), 0, None)
    back = beside_spine(x) - cavity / 2
    return back, np.asarray(back + depth)


def mediastinum(anatomy: Anatomy, x: Floats, y: Floats) -> Floats:
    """Return the depth of heart, great vessels and the bulk beside the spine."""
    right_edge, left_edge = (
        np.interp(y, OUTLINE, 17 + anatomy.heart * (edge - 17)).astype(np.float32) for edge in _mediastinal_edges()
    )
    heart = 109 * anatomy.flatness * dome((2 * x + right_edge - left_edge) / (right_edge + left_edge))
    return np.asarray(heart + beside_spine(x))


@cache
def _mediastinal_edges() -> tuple[Floats, Floats]:
    """Return how far the mediastinum reaches to the right and to the left of the midline at each height of OUTLINE, mm."""
    heights = [-130, -95, -70, -45, -32, -22, -8, 8, 25, 42, 60, 80, 120]
    right = [20, 20, 21, 24, 24, 22, 24, 31, 36, 37, 33, 25, 20]  # superior vena cava, right atrium
    left = [19, 19, 20, 23, 28, 25, 33, 48, 63, 74, 78, 60, 20]  # aortic knob, pulmonary trunk, left ventricle
    return PchipInterpolator(heights, right)(OUTLINE), PchipInterpolator(heights, left)(OUTLINE)


def beside_spine(x: Floats) -> Floats:
    """Return the depth of the bulk beside the spine."""
    return np.asarray(55 * np.clip(1 - (x / 24) ** 2, 0, 1))


def carried(anatomy: Anatomy, breath: float, y: float) -> float:
    """Return where breath carries what lies at height `y` when it is half deep: the lower in the lung, the farther."""
    return y + LIFT * (breath - 0.5) * float(np.clip((y - anatomy.apex) / (DIAPHRAGM - anatomy.apex), 0, 1))


def abdomen(anatomy: Anatomy, breath: float, x: Floats, y: Floats) -> Floats:
    """Return the share of the rib cage's depth that lies below the diaphragm's domes."""
    top = DIAPHRAGM + 3 * np.tanh(x / 15) + LIFT * np.float32(breath - 0.5)  # the liver lifts the right one
    away = (np.abs(x) - 48 * np.float32(anatomy.chest / 105)) / 55
    away = np.where(away > 0, away, 0.45 * away) ** 2  # flat towards the spine, steep towards the side
    below = np.clip((y - top - 17 * away - 9 * away**2) / 52, 0, 1)
    return dome(1 - below)
