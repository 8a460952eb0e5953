"""A radiograph that is looked at: opened for a viewer, and enhanced tile by tile."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from cxr.formats.container import container
from cxr.formats.decode import Unusable, as_unusable, opened
from cxr.formats.depth import few, measured
from cxr.formats.dicom.compressed.lossy import loss
from cxr.formats.dicom.corners import corners, orientation, spacing
from cxr.formats.dicom.display import number
from cxr.formats.dicom.geometry import refuse_unknown
from cxr.formats.dicom.header import is_dicom
from cxr.formats.dicom.radiograph import read as read_dicom
from cxr.formats.note import SYNTHETIC, note_in
from cxr.foundation.errors import UserError
from cxr.result import shown
from cxr.superres.degradation.enlargement import enlarge
from cxr.superres.degradation.reduction import reduced
from cxr.superres.enhance import enhance_part, enhance_stored_part, seen_by
from cxr.superres.estimation.arrival import arrived
from cxr.superres.limits import limit
from cxr.superres.methods import TITLES
from cxr.superres.model import Model
from cxr.viewed import AROUND, Compressed, Known, Made, Piece, Presentation, Viewed, presentation

EDGE = 3
"""Pixels at a tile's edge whose reduction sees beyond it."""
LONGEST = 16_000
"""Rows or columns: places at four times as many still fit into 32 bits, by 1/65,536 of a pixel."""


def look_at(path: Path, most_pixels: int) -> Viewed:
    """Return what a viewer needs of the radiograph `path`: JPEG, PNG, TIFF, BMP or DICOM, by its content.

    Raises Unusable for what cannot be read, shows no radiograph, or has more than `most_pixels` or LONGEST rows or columns;
    OSError when the file cannot be opened.
    """
    return _dicom(path, most_pixels) if is_dicom(path) else _picture(path, most_pixels)


def know(viewed: Viewed, model: Model) -> Known:
    """Return what came in and how strongly `model` may be used on it, as `cxr enhance` tells it.

    It takes longer than to open a radiograph, so that a viewer shows the original before.
    """
    arrival = arrived(_levels(viewed), *viewed.compressed)
    found = {scale: limit(model, scale, arrival) for scale in model.networks}
    unknown = max((each.unknown(arrival, TITLES[model.name]) for each in found.values()), key=len, default="")
    limits = {scale: (each.cap, each.why) for scale, each in found.items()}
    return Known(arrival.told + unknown, arrival.for_network, limits)


def _levels(viewed: Viewed) -> npt.NDArray[np.floating]:
    """Return the image (H, W) as it is seen, 0 black and 1 white."""
    if viewed.display is None or viewed.padding is None:
        return shown(viewed.values, (1 << viewed.bits) - 1)
    levels = viewed.display.shown(viewed.values.astype(np.int32) + viewed.least)
    levels[viewed.padding] = 0
    return levels


def _refuse_large(shape: tuple[int, ...], most_pixels: int) -> None:
    """Raise Unusable for an image (H, W) that a browser cannot be asked to show."""
    if shape[0] * shape[1] > most_pixels or max(shape) > LONGEST:
        most = f"more than the {most_pixels:,} pixels, or {LONGEST:,} rows or columns, that the page takes"
        raise Unusable("damaged", f"{shape[0]:,} x {shape[1]:,} pixels, {most}; use cxr enhance")


def _digest(values: npt.NDArray[np.uint16]) -> str:
    sha = hashlib.sha256(repr(values.shape).encode())
    sha.update(values.astype("<u2").tobytes())
    return sha.hexdigest()


def _dicom(path: Path, most_pixels: int) -> Viewed:
    radiograph = read_dicom(path)
    _refuse_large(radiograph.stored.shape, most_pixels)
    with as_unusable():  # and without warnings, which would quote elements
        refuse_unknown(radiograph.data)
        display, data = radiograph.display, radiograph.data
        told = presentation(display.curve)
        if "ModalityLUTSequence" not in data:
            slope, intercept = number(data, "RescaleSlope") or 1.0, number(data, "RescaleIntercept") or 0.0
            told = told._replace(slope=slope, intercept=intercept + slope * display.least, linear=_linear(data))
        remarks = (*radiograph.remarks, *few(radiograph.pixels()))
        if told.table is not None:
            remarks += ("shown through the file's own curve, so the window is of what comes of that",)
        said = corners(data)
        values = (radiograph.stored - display.least).astype(np.uint16)
        return Viewed(
            values=values,
            least=display.least,
            bits=radiograph.bits,
            presentation=told,
            digest=_digest(values),
            compressed=Compressed(*loss(data)),
            remarks=remarks,
            corners=said,
            orientation=orientation(data),
            spacing=spacing(data),
            synthetic=any(SYNTHETIC in text for text in said["patient"]),
            padding=radiograph.padding,
            display=display,
            storing=radiograph.storing,
        )


def _linear(data: Any) -> bool:
    """Tell whether the window is one of PS3.3, C.11.2.1.2.1, whose ends are half a value inside of its width."""
    function = str(data.get("VOILUTFunction") or "LINEAR").strip().upper()
    return number(data, "WindowWidth") is not None and "VOILUTSequence" not in data and function == "LINEAR"


def _picture(path: Path, most_pixels: int) -> Viewed:
    stored, file = opened(path), container(path)
    _refuse_large(stored.levels.shape, most_pixels)
    found = measured(stored, path)
    bits = found.bits + found.shift
    white = (1 << bits) - 1
    values = found.levels.astype(np.uint16)
    return Viewed(
        values=values,
        least=0,
        bits=bits,
        presentation=Presentation(0.0, float(white), inverted=False, table=None),
        digest=_digest(values),
        compressed=Compressed(np.array(file.steps).reshape(8, 8) if file.steps else None),
        remarks=found.remarks,
        synthetic=SYNTHETIC in note_in(path),
    )


def refuse_far_sighted(model: Model) -> None:
    """Raise UserError when `model` sees further around a tile than what goes with one."""
    for scale in model.networks:
        if (sees := seen_by(model, scale)) > AROUND:
            raise UserError(f"{model.name} sees {sees} pixels around a tile, more than the {AROUND} that the page gives it")


def make(model: Model, piece: Piece) -> Made:
    """Return the tile of `piece` as `model` makes it at its full strength: `enhance_file`'s, within what bfloat16 rounds.

    Where there is padding, it is what is shown as black.
    """
    viewed, known, scale = piece.of, piece.known, piece.scale
    most = known.limits[scale][0]
    if viewed.display is None or viewed.storing is None or viewed.padding is None:
        white = (1 << viewed.bits) - 1
        result = enhance_part(model, viewed.values, scale, *piece.made, bits=viewed.bits, arrival=known.arrival)
        return Made(result, _off(shown(result, white), shown(viewed.values[piece.part], white), scale, most))
    display, storing = viewed.display, viewed.storing
    stored = viewed.values.astype(np.int32) + viewed.least
    image = storing.image(stored, viewed.padding)
    exact = enhance_stored_part(model, image, scale, display, *piece.made, known.arrival)
    of_part = stored[piece.part], viewed.padding[piece.part]
    values = storing.values(exact, *of_part)
    off = _off(display.shown(values), display.shown(of_part[0]), scale, most)
    made = (values - viewed.least).astype(np.uint16)
    made[of_part[1].repeat(scale, 0).repeat(scale, 1)] = viewed.black
    return Made(made, off)


def _off(result: npt.NDArray[Any], low: npt.NDArray[Any], scale: int, strength: float) -> float:
    """Return the mean square by which `low`, enlarged at `strength`, differs from itself when it is reduced again.

    `result` is what it is enlarged to at full strength. Both are in [0, 1]; of grey levels of 255.
    """
    image = torch.from_numpy(np.ascontiguousarray(low, np.float32))[None, None]
    full = torch.from_numpy(np.ascontiguousarray(result, np.float32))[None, None]
    again = reduced(enlarge(image, scale).lerp(full, strength), scale) - image
    inner = (..., *(slice(EDGE, -EDGE) if length > 2 * EDGE else slice(None) for length in low.shape))
    return float((again[inner] * 255).square().mean())
