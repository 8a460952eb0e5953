"""Which degradations there are: `degrade`, `ranges`, `conditions` and `evaluate` of params.yaml. No torch: `check` reads it."""

import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from cxr.foundation import params
from cxr.foundation.errors import UserError
from cxr.foundation.params import SEED, Must, between

# Each in a section's list: none twice, and one at least.
EACH_ONCE = Must("at least one, each once", lambda values: 0 < len(values) == len(set(values)))
CLEAN = "clean"
"""The condition of a radiograph that is reduced, and nothing else."""
NATIVE = "native"
"""The condition, of `python -m benchmarks.conditions` alone, of a radiograph that was not reduced before."""
NOISIEST, FEWEST, SOFTEST, WIDEST = 64, 10, 1.3, 4.0
"""The most noise in grey levels, the fewest quanta at white, and the greatest blurs, in pixels, that are simulated."""


class Degradation(NamedTuple):
    """One way in which a low-resolution copy is made: its scale, and what befalls the radiograph besides."""

    scale: int
    noise: float = 0.0
    """Of the electronics: standard deviation in grey levels of 255."""
    quanta: float = 0.0
    """Counted by a low-resolution pixel at white, whose number varies; 0 for no such noise."""
    grain: float = 0.0
    """How far noise is correlated: the standard deviation of a Gaussian, in low-resolution pixels; 0 for white noise."""
    blur: float = 0.0
    """Before the reduction, a Gaussian: its standard deviation in pixels of the radiograph."""
    disc: float = 0.0
    """Before the reduction, a disc: its radius in pixels of the radiograph."""
    jpeg: int = 0
    """Quality of the JPEG file that the copy has been in, 1 to 100; 0 for none."""
    condition: str = ""
    """What all of it but the scale is called; empty: as its noise tells."""

    @property
    def noisy(self) -> bool:
        """Tell whether there is noise of any kind."""
        return bool(self.noise or self.quanta)

    @property
    def name(self) -> str:
        """Return what tables and files call it: x2, or with a condition x2_noise5."""
        condition = self.condition or (f"noise{self.noise:g}" if self.noise else CLEAN)
        return f"x{self.scale}" + ("" if condition == CLEAN else f"_{condition}")

    @property
    def spoilt_by(self) -> str:
        """Return in words what befalls it besides its reduction; nothing where nothing does."""
        told = {
            "a blur of {:g} pixel{}": self.blur,
            "a blur by a disc of {:g} pixel{}": self.disc,
            f"{'coarse ' if self.grain else ''}detector noise of {{:g}} grey level{{}}": self.noise,
            f"{'coarse ' if self.grain else ''}noise of {{:g}} quanta at white": self.quanta,
            "JPEG of quality {:g}": self.jpeg,
        }
        return ", ".join(text.format(value, "" if value == 1 else "s") for text, value in told.items() if value)

    @property
    def title(self) -> str:
        """Return what pictures call it."""
        return f"x{self.scale} super-resolution" + (f" of images with {self.spoilt_by}" if self.spoilt_by else "")


@dataclass(frozen=True)
class Degrade:
    """Section `degrade` of params.yaml."""

    scales: Annotated[tuple[Literal[2, 3, 4], ...], EACH_ONCE]
    noise: Annotated[tuple[Annotated[float, between(0, NOISIEST)], ...], EACH_ONCE]
    seed: Annotated[int, SEED]

    @property
    def degradations(self) -> tuple[Degradation, ...]:
        """Return every scale with every level of noise."""
        return tuple(Degradation(*each) for each in product(self.scales, self.noise))

    def at(self, scale: int) -> tuple[Degradation, ...]:
        """Return one scale with every level of noise."""
        return tuple(each for each in self.degradations if each.scale == scale)

    @property
    def levels(self) -> dict[str, tuple[float, ...]]:
        """Return what a model file says of the degradations that the model was trained for."""
        return {"scales": self.scales, "noise": self.noise}


@dataclass(frozen=True)
class Ranges:
    """Section `ranges` of params.yaml: what befalls the crops of a network that is for more than clean radiographs."""

    clean: Annotated[float, between(0, 1)]
    """Share of the crops that are reduced, and nothing else."""
    blur: Annotated[float, between(0, SOFTEST)]
    noise: Annotated[float, between(0, NOISIEST)]
    quanta: Annotated[tuple[float, float], Must(f"from and to, at least {FEWEST}", lambda span: FEWEST <= span[0] <= span[1])]
    grain: Annotated[float, between(0, 2)]
    jpeg: Annotated[tuple[int, int], Must("from and to, 1 to 100", lambda span: 1 <= span[0] <= span[1] <= 100)]

    @property
    def varied(self) -> bool:
        """Tell whether anything but reduction happens to crops."""
        return self.clean < 1

    @property
    def levels(self) -> dict[str, Any]:
        """Return what a model file says of a network that learnt from this, if it varies."""
        return {"noise": tuple(dict.fromkeys((0.0, self.noise))), "ranges": asdict(self)} if self.varied else {}

    def widest(self, scale: int) -> Degradation:
        """Return what sees the most around a pixel at `scale`."""
        return Degradation(scale, blur=self.blur if self.varied else 0.0)

    def drawn(self, scale: int, uniform: Callable[[], float]) -> Degradation:
        """Return one degradation at `scale`, of numbers from 0 to 1 that `uniform` draws.

        Of what is not left clean, half is blurred and half has been in a JPEG file. Half has noise of the electronics, a
        quarter that of counted quanta, and a quarter none; half of the noise is correlated. Blur, noise, grain and quality are
        drawn evenly, quanta evenly in their logarithm.
        """
        share, blur, noise, grain, jpeg = uniform(), uniform(), uniform(), uniform(), uniform()
        blur_by, noise_by, grain_by, jpeg_by = uniform(), uniform(), uniform(), uniform()
        if share < self.clean:
            return Degradation(scale)
        fewest, most = self.quanta
        lowest, highest = self.jpeg
        return Degradation(
            scale,
            noise=self.noise * noise_by if noise < 0.5 else 0.0,
            quanta=fewest * (most / fewest) ** noise_by if 0.5 <= noise < 0.75 else 0.0,
            grain=self.grain * grain_by if noise < 0.75 and grain < 0.5 else 0.0,
            blur=self.blur * blur_by if blur < 0.5 else 0.0,
            jpeg=lowest + int((highest - lowest + 1) * jpeg_by) if jpeg < 0.5 else 0,
        )


@dataclass(frozen=True)
class Condition:
    """One of section `conditions` of params.yaml: what befalls a radiograph besides its reduction. See `Degradation`."""

    noise: Annotated[float, between(0, NOISIEST)] = 0.0
    quanta: Annotated[float, Must(f"0, or at least {FEWEST}", lambda value: value == 0 or value >= FEWEST)] = 0.0
    grain: Annotated[float, between(0, 2)] = 0.0
    blur: Annotated[float, between(0, SOFTEST)] = 0.0
    disc: Annotated[float, between(0, WIDEST)] = 0.0
    jpeg: Annotated[int, between(0, 100)] = 0

    def __post_init__(self) -> None:
        """Raise ValueError when the values do not fit together."""
        if self.blur and self.disc:
            raise ValueError("blur and disc are both given; a condition has one blur")
        if self.grain and not (self.noise or self.quanta):
            raise ValueError("grain is of noise; give noise or quanta")

    def at(self, scale: int, name: str) -> Degradation:
        """Return this, which is called `name`, at `scale`."""
        called = "" if name == CLEAN else name
        return Degradation(scale, self.noise, self.quanta, self.grain, self.blur, self.disc, self.jpeg, called)


@dataclass(frozen=True)
class Evaluate:
    """Section `evaluate` of params.yaml."""

    conditions: Annotated[tuple[str, ...], EACH_ONCE]


def conditions(path: Path) -> dict[str, Condition]:
    """Return by name the conditions of section `conditions` of the file `path`; what one does not say does not happen in it.

    Raises UserError for a name that is no name, for `clean` if it is not, and as `params.read` does.
    """
    document = params.load(path)
    if not isinstance(document.get("conditions"), dict):
        raise UserError(f"{path}: the section conditions is missing; expected names, such as noise5, with what happens")
    found = {}
    for name, value in document["conditions"].items():
        where = f"{path}: conditions"
        if not isinstance(name, str) or not re.fullmatch("[a-z][a-z0-9]{0,30}", name) or name == NATIVE:
            raise UserError(f"{where}: {name!r} is no name; expected small letters and digits, and not {NATIVE}")
        said = value if isinstance(value, dict) else {}
        found[name] = params.convert({**asdict(Condition()), **said}, Condition, f"{where}.{name}")
        if value is not None and not isinstance(value, dict):
            params.convert(value, Condition, f"{where}.{name}")
    if found.get(CLEAN, Condition()) != Condition():
        raise UserError(f"{path}: conditions.{CLEAN} is {found[CLEAN]}; nothing happens in it, so give {{}}")
    return found


def chosen(found: dict[str, Condition], names: Iterable[str], scales: Iterable[int], path: Path) -> tuple[Degradation, ...]:
    """Return every one of `scales` in each condition of `found` among `names`. Raises UserError when `found` lacks one."""
    names = tuple(names)
    for name in names:
        if name not in found:
            raise UserError(f"{path}: evaluate.conditions has {name!r}, none of {', '.join(found)}")
    return tuple(found[name].at(scale, name) for scale in scales for name in names)
