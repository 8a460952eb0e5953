"""What an image file is besides its levels: its format, how large it is printed, and the note that a result carries."""

import math
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

from PIL import Image

from cxr.formats.decode import Unusable, as_unusable
from cxr.formats.metered import Metered

READ = "BMP", "JPEG", "PNG", "TIFF"

# Tags of TIFF 6.0, section 8, which Exif has taken over
IMAGE_DESCRIPTION, ORIENTATION, X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 270, 274, 282, 283, 296
ON_ITS_SIDE = 5, 6, 7, 8

Unit = Literal["inch", "cm", "metre"]
METRES = {"inch": Fraction("0.0254"), "cm": Fraction("0.01"), "metre": Fraction(1)}
BY_NUMBER: dict[int, Unit] = {2: "inch", 3: "cm"}
"""Units as TIFF and Exif number them; JFIF's numbers are less by one."""


class Density(NamedTuple):
    """How many pixels a printed length has."""

    x: Fraction
    y: Fraction
    unit: Unit

    def times(self, scale: int) -> "Density":
        """Return that of `scale` times as many pixels on the same paper."""
        return self._replace(x=self.x * scale, y=self.y * scale)

    def per(self, unit: Unit) -> "Density":
        """Return the same for another unit."""
        factor = METRES[unit] / METRES[self.unit]
        return Density(self.x * factor, self.y * factor, unit)


class Container(NamedTuple):
    """What an image file is besides its levels."""

    kind: str
    """BMP, JPEG, PNG or TIFF, told by its content; "" of anything else."""
    density: Density | None = None
    """Of the image as it stands upright; None where the file gives none, or a mere ratio."""
    note: str = ""
    """A JPEG's comment, a PNG's Description or a TIFF's ImageDescription."""
    steps: tuple[int, ...] = ()
    """By which a JPEG divided the cosines of its grey: 64, row by row."""


def container(path: Path) -> Container:
    """Return what the file `path` is; what cannot be understood of it counts as not said.

    Read are the header alone and what stands before the pixels. Raises OSError when the file cannot be opened.
    """
    found = Container("")
    # Opened here, since what ails the disk is no fault of the file.
    with (
        suppress(Unusable),
        as_unusable(OSError),
        Metered(path) as file,
        as_unusable(),
        Image.open(file, formats=READ) as image,
    ):
        found = Container("JPEG" if image.format == "MPO" else str(image.format))
        with suppress(Exception):  # broken notes come as any exception, and the file has its format without them
            found = found._replace(note=_note(image))
        with suppress(Exception):
            found = found._replace(density=_upright(image))
        with suppress(Exception):
            found = found._replace(steps=tuple(cast(Any, image).quantization[0]) if found.kind == "JPEG" else ())
    return found


def _note(image: Any) -> str:
    note = image.tag_v2.get(IMAGE_DESCRIPTION) if image.format == "TIFF" else None
    note = note or image.info.get("comment") or image.info.get("Description") or ""
    return note.decode("ascii", "replace") if isinstance(note, bytes) else str(note)


def _upright(image: Any) -> Density | None:
    """Return the density of `image`, turned as its pixels are."""
    found = _density(image)
    if found and image.getexif().get(ORIENTATION) in ON_ITS_SIDE:
        return found._replace(x=found.y, y=found.x)
    return found


def _density(image: Any) -> Density | None:
    info = image.info
    match image.format:
        case "TIFF":
            return _tagged(image.tag_v2)
        case "PNG" | "BMP":  # both count by the metre, and Pillow gives inches; a PNG without a unit has no "dpi"
            x, y = info.get("dpi", (0, 0))
            return _given(round(x / 0.0254), round(y / 0.0254), "metre")
        case _:
            unit = BY_NUMBER.get(info.get("jfif_unit", 0) + 1)
            x, y = info.get("jfif_density", (0, 0))
            return _given(x, y, unit) if unit else _tagged(image.getexif())


def _tagged(tags: Any) -> Density | None:
    unit = BY_NUMBER.get(tags.get(RESOLUTION_UNIT, 2))
    return _given(tags.get(X_RESOLUTION, 0), tags.get(Y_RESOLUTION, 0), unit) if unit else None


def _given(x: Any, y: Any, unit: Unit) -> Density | None:
    """Return the density, if it is one."""
    if not all(math.isfinite(float(each)) and each > 0 for each in (x, y)):
        return None
    return Density(Fraction(x), Fraction(y), unit)
