"""Where and how one image shows the patient."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import cv2
import numpy as np

from cxr.sources.phantom.anatomy import Floats, Subject, stream

FIELD = 236.0  # mm of anatomy along the image's height, at magnification 1
WIDEST = 1.5  # width over height


@dataclass(frozen=True)
class View:
    """Where and how one image shows the patient: frame, pose, breath and exposure."""

    size: int  # pixels of the shorter side, the height
    aspect: float  # width over height
    projection: Literal["PA", "AP"]
    angle: float  # roll of the body in the image plane, radians
    twist: float  # turn about the body's axis: mm sideways for each mm towards the front
    shift: tuple[float, float]  # mm
    magnification: float
    breath: float  # 0 shallow to 1 deep
    exposure: float
    contrast: float

    @classmethod
    def of(cls, seed: int, subject: Subject, size: int) -> "View":
        """Return the view of one image. It depends on patient and image, never on the disease."""
        draw = stream(seed, subject.patient, subject.image, "view").uniform
        frame = stream(seed, subject.patient, subject.image, "frame").uniform
        usual = stream(seed, subject.patient, "frame").uniform(1.16, WIDEST - 0.06)
        return cls(
            size=size,
            aspect=usual + frame(-0.06, 0.06),
            projection="PA" if frame() < 0.7 else "AP",
            angle=draw(-0.05, 0.05),
            twist=draw(-0.07, 0.07),
            shift=(draw(-6, 6), draw(-8, 8)),
            magnification=draw(0.94, 1.12),
            breath=draw(0, 1),
            exposure=float(np.exp(draw(-0.5, 0.5))),
            contrast=draw(0.85, 1.1),
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.size, round(self.size * self.aspect)

    @property
    def pixel(self) -> float:
        """Side of a pixel at the detector, mm."""
        return FIELD / self.size

    @cached_property
    def to_pixels(self) -> Floats:
        """The 2x3 matrix from anatomical mm to (column, row) of pixel centres."""
        scale = self.magnification / self.pixel
        c, s = scale * np.cos(self.angle), scale * np.sin(self.angle)
        row, column = ((side - 1) / 2 for side in self.shape)
        return np.array([[c, -s, column + self.shift[0] / self.pixel], [s, c, row + self.shift[1] / self.pixel]])

    def place(self, points: Floats) -> Floats:
        """Return where points in mm, (..., 2 or 3), are shown: (..., 2), columns and rows of pixel centres."""
        x, y = points[..., 0], points[..., 1]
        if points.shape[-1] == 3:
            x = x + self.twist * points[..., 2]
        (xx, xy, x0), (yx, yy, y0) = self.to_pixels
        return np.stack([xx * x + xy * y + x0, yx * x + yy * y + y0], -1)

    def grid(self) -> tuple[Floats, Floats]:
        """Return x and y, mm, at every pixel, float32 of `shape`."""
        (xx, xy, x0), (yx, yy, y0) = cv2.invertAffineTransform(self.to_pixels)
        row, column = (np.arange(side) for side in self.shape)
        x = xx * column[None, :] + xy * row[:, None] + x0
        y = yx * column[None, :] + yy * row[:, None] + y0
        return x.astype(np.float32), y.astype(np.float32)
