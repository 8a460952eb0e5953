"""JPEG of grey images, as the common encoders make it: ITU-T T.81 | ISO/IEC 10918-1, baseline, without the lossless part."""

import math
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from cxr.superres.degradation.levels import WHITE

BLOCK = 8
FINER = 8  # times as fine as whole ones are the coefficients that encoders divide, halves rounded away from zero (jcdctmgr.c)
# Table K.1 of T.81, for luminance: what the common encoders scale.
QUANTA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)


def quantisation(quality: int) -> Tensor:
    """Return the table (8, 8), by vertical and horizontal frequency, by which a `quality` of 1 to 100 divides coefficients.

    As the Independent JPEG Group's library scales table K.1 (jcparam.c, jpeg_quality_scaling), and so nearly every encoder.
    Raises ValueError for other qualities.
    """
    if not 1 <= quality <= 100:
        raise ValueError(f"a quality of {quality} is none of 1 to 100")
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    return ((torch.tensor(QUANTA) * percent + 50) // 100).clamp(1, 255)


def compressed(images: Tensor, quality: int) -> Tensor:
    """Return what a JPEG file of `quality` keeps of `images` (N, 1, H, W) in [0, 1]: of their dtype, at 256 levels.

    The first block begins at the first pixel. What is missing of a last block is as the last pixel is.
    """
    height, width = images.shape[-2:]
    padded = F.pad(images, (0, -width % BLOCK, 0, -height % BLOCK), mode="replicate")
    levels = (padded * WHITE).round().clamp(0, WHITE) - (WHITE + 1) / 2
    table = quantisation(quality).to(images.device, images.dtype)
    coefficients = cosines(levels)
    eighths = (coefficients.abs() * FINER).round()
    kept = inverse(coefficients.sign() * ((eighths + table * (FINER // 2)) / (table * FINER)).floor() * table)
    restored = (kept + (WHITE + 1) / 2).round().clamp(0, WHITE) / WHITE
    return restored[..., :height, :width]


def cosines(images: Tensor) -> Tensor:
    """Return the discrete cosine transform (N, rows of blocks, blocks, 8, 8) of `images` (N, 1, H, W), by blocks of 8x8."""
    height, width = (length // BLOCK for length in images.shape[-2:])
    blocks = images.reshape(len(images), height, BLOCK, width, BLOCK).transpose(-3, -2)
    rows = basis(images.device, images.dtype)
    with torch.autocast(images.device.type, enabled=False):
        return rows @ blocks @ rows.T


def inverse(coefficients: Tensor) -> Tensor:
    """Return the images (N, 1, H, W) whose transform `cosines` returned."""
    rows = basis(coefficients.device, coefficients.dtype)
    with torch.autocast(coefficients.device.type, enabled=False):
        blocks = rows.T @ coefficients @ rows
    return blocks.transpose(-3, -2).flatten(-2).flatten(-3, -2)[:, None]


@cache
def basis(device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return the orthonormal cosines (8, 8): a row for each frequency (T.81, A.3.3)."""
    with torch.inference_mode(False):
        place = torch.arange(BLOCK, dtype=torch.float64)
        rows = torch.cos((2 * place + 1) * place[:, None] * math.pi / (2 * BLOCK)) / 2
        rows[0] /= math.sqrt(2)
        return rows.to(device, dtype)
