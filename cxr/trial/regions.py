"""Regions of phantoms' lungs, and what a detector makes of them with a finding and without."""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from cxr.sources.phantom.anatomy import Anatomy, Floats, Subject, stream
from cxr.sources.phantom.detector import Display, counted, intensity, scatter, softened
from cxr.sources.phantom.tissues import attenuation
from cxr.sources.phantom.view import FIELD, View
from cxr.sources.phantom.volumes import lungs
from cxr.superres.degradation.levels import WHITE
from cxr.trial.protocol import EDGE, Protocol, Setting

Pixels = npt.NDArray[np.uint8]

ADULT = 1.5  # times as large as a child's is an adult's body, in all directions
DEEP, AROUND = 15.0, 5.0  # mm of lung, at least, in the middle of a region and so many mm around it


class Person(NamedTuple):
    """A phantom as its radiograph is taken, and where its regions lie."""

    number: int
    integral: Floats
    """Line integral of attenuation, (H, W)."""
    arriving: Floats
    """Photons, as a share of the open beam, with scatter."""
    scattered: Floats
    display: Display
    corners: npt.NDArray[np.intp]
    """Top and left of each region with its EDGE, (R, 2)."""


class Regions(NamedTuple):
    """What of a person lies in the regions with their EDGE: (R, side + 2 EDGE, side + 2 EDGE) each."""

    number: int
    integral: Floats
    scattered: Floats
    even: Floats
    display: Display


def person(protocol: Protocol, number: int, pixel: float) -> Person:
    """Return phantom `number` of the trial, healthy, with pixels of `pixel` mm: children have even numbers, adults odd ones."""
    larger = ADULT if number % 2 else 1.0
    subject, anatomy = Subject(number, 0), Anatomy.of(protocol.seed, number)
    view = View.of(protocol.seed, subject, round(FIELD * larger / pixel))
    view = replace(view, contrast=protocol.display * view.contrast)
    integral = attenuation(protocol.seed, subject, view)[0] * np.float32(larger)
    passed = intensity(integral)
    scattered = scatter(passed)
    middles = np.array(list(_middles(protocol, number, view, anatomy, larger)))
    corners = np.round(middles * view.shape).astype(int) - protocol.side // 2 - EDGE
    display = Display.of(softened(passed + scattered, pixel), view)
    return Person(number, integral, passed + scattered, scattered, display, corners)


def _middles(protocol: Protocol, number: int, view: View, anatomy: Anatomy, larger: float) -> Iterator[tuple[float, float]]:
    """Yield where regions have their middle, in shares of height and width: in lung, and the same whatever a pixel measures."""
    random = stream(protocol.seed, number, "trial")
    margin = (protocol.side / 2 + EDGE + 1) * protocol.pixels[-1] / (FIELD * larger)  # of the height, so that all fit
    turns = np.linspace(0, 2 * np.pi, 9)[:8]
    around = np.c_[np.r_[0, np.cos(turns)], np.r_[0, np.sin(turns)]] * AROUND / larger
    inverse = np.linalg.inv(np.vstack([view.to_pixels, [0, 0, 1]]))
    found = 0
    while found < protocol.regions:
        down, across = random.uniform(margin, 1 - margin), random.uniform(margin / view.aspect, 1 - margin / view.aspect)
        x, y, _ = inverse @ [across * view.shape[1], down * view.shape[0], 1]
        if lungs(anatomy, view.breath, x + around[:, 0], y + around[:, 1]).min() > DEEP:
            yield down, across
            found += 1


def whole(of: Person, protocol: Protocol, setting: Setting) -> Pixels:
    """Return the whole radiograph (H, W), without a finding."""
    read = counted(of.arriving, setting.dose, setting.pixel, stream(protocol.seed, of.number, "whole", setting.name))
    return of.display.levels(read, WHITE).astype(np.uint8)


def regions(of: Person, protocol: Protocol) -> Regions:
    """Return the regions of a person, which need far less memory than the whole."""
    side = protocol.side + 2 * EDGE
    places = [(slice(top, top + side), slice(left, left + side)) for top, left in of.corners]
    integral, scattered, even = (
        np.stack([each[place] for place in places]) for each in (of.integral, of.scattered, of.display.even)
    )
    return Regions(of.number, integral, scattered, even, of.display._replace(even=np.empty(0, np.float32)))


def taken(of: Regions, protocol: Protocol, setting: Setting, finding: str, adds: Floats | None = None) -> Pixels:
    """Return the regions (R, side, side) as a detector reads and shows them, with what `finding` `adds` to the line integral.

    `adds` (side + 2 EDGE, side + 2 EDGE) is None where there is no finding. Noise is a function of seed, person, setting and
    `finding`, so that a region with a finding has other noise than that without.
    """
    random = stream(protocol.seed, of.number, "region", setting.name, finding)
    made = []
    for healthy, scattered, even in zip(of.integral, of.scattered, of.even, strict=True):
        integral = healthy if adds is None else healthy + adds
        read = counted(intensity(integral) + scattered, setting.dose, setting.pixel, random)
        levels = of.display._replace(even=even).levels(read, WHITE)
        made.append(levels[EDGE:-EDGE, EDGE:-EDGE])
    return np.stack(made).astype(np.uint8)


def as_tensor(levels: Pixels) -> torch.Tensor:
    """Return `levels` (N, H, W) as float32 (N, 1, H, W) in [0, 1]."""
    return torch.from_numpy(levels.astype(np.float32) / WHITE)[:, None]
