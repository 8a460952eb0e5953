"""Whom a phantom shows: what all images of one patient share."""

import zlib
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]  # float32 for whole images, float64 for points
Image = NDArray[np.uint8]
Pixels = NDArray[Any]  # uint8, or uint16 for more than 8 bits
Kind = Literal["bacteria", "virus", "tuberculosis", "nodule"]
FINDINGS: dict[Kind, str] = {
    "bacteria": "PNEUMONIA",
    "virus": "PNEUMONIA",
    "tuberculosis": "TUBERCULOSIS",
    "nodule": "NODULE",
}
"""What a radiologist calls each kind of disease; NORMAL where there is none."""


class Subject(NamedTuple):
    """Whose image one is: the patient's number, which of the patient's images it is (both from 0), and what is ill."""

    patient: int
    image: int
    kinds: tuple[Kind, ...] = ()

    @property
    def findings(self) -> tuple[str, ...]:
        """What a radiologist finds: NORMAL alone, or one or more of the values of FINDINGS."""
        return tuple(FINDINGS[kind] for kind in self.kinds) or ("NORMAL",)


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
    age: int  # years
    sex: str  # M or F

    @classmethod
    def of(cls, seed: int, patient: int) -> "Anatomy":
        """Return the anatomy of a patient."""
        draw = stream(seed, patient, "anatomy").uniform
        person = stream(seed, patient, "person")
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
            age=int(person.integers(4, 9)),
            sex=str(person.choice(["F", "M"])),
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
