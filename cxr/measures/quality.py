"""PSNR and SSIM as the super-resolution papers report them, on grey levels of any depth, for whole batches on any device."""

import math

import torch
from torch import Tensor

WHITE = 255
"""The level of white in 8 bits."""
# SSIM's window and constants: Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility to
# structural similarity", IEEE Transactions on Image Processing 13(4), 2004, section III-B and III-C.
SIGMA = 1.5
RADIUS = 5
BLOCK = 64  # columns that one band matrix filters: wider ones hold more zeros, narrower ones make for slower products
K1, K2 = 0.01, 0.03


def psnr(images: Tensor, truth: Tensor, shave: int, white: int | Tensor = WHITE) -> Tensor:
    """Return the peak signal-to-noise ratio of each image in dB, float64 (N,); infinite where there is no error.

    `images` are grey levels from 0 to `white`, (N, 1, H, W), and so is `truth`, or one for all (1, 1, H, W); `shave` pixels at
    each border do not count. `white`, the range of the data, is that of all images, or of each (N, 1, 1, 1).
    Raises ValueError when the shapes differ or nothing is left after shaving.
    """
    images, truth = _shaved(images, truth, shave)
    mse = (images - truth).square().mean(dim=(1, 2, 3))
    peak = white.flatten().double().log10() if isinstance(white, Tensor) else math.log10(white)
    return 20 * peak - 10 * mse.log10()


def ssim(images: Tensor, truth: Tensor, shave: int, white: int | Tensor = WHITE) -> Tensor:
    """Return the mean structural similarity of each image, float64 (N,), at most 1.

    `images` are grey levels from 0 to `white`, (N, 1, H, W), and so is `truth`, or one for all (1, 1, H, W); `shave` pixels at
    each border do not count. `white`, the range of the data, is that of all images, or of each (N, 1, 1, 1). Window: an 11x11
    Gaussian with sigma 1.5, where it lies wholly inside the shaved image (Wang et al. 2004).
    Raises ValueError when the shapes differ or the shaved image is smaller than the window.
    """
    images, truth = _shaved(images, truth, shave)
    if min(images.shape[-2:]) < 2 * RADIUS + 1:
        raise ValueError(f"{tuple(images.shape[-2:])} pixels are left after shaving {shave}; SSIM needs 11x11")
    # In float64, because variances are small differences of large numbers.
    moments = torch.cat([images, images * images + truth * truth, images * truth, truth])
    mean_x, mean_power, mean_xy, mean_y = torch.split(_gaussian(moments), [len(images)] * 3 + [len(truth)])
    product, power = mean_x * mean_y, mean_x * mean_x + mean_y * mean_y
    c1, c2 = (K1 * white) ** 2, (K2 * white) ** 2
    luminance = (2 * product + c1) / (power + c1)
    return (luminance * (2 * (mean_xy - product) + c2) / (mean_power - power + c2)).mean(dim=(1, 2, 3))


def _shaved(images: Tensor, truth: Tensor, shave: int) -> tuple[Tensor, Tensor]:
    if truth.shape not in (images.shape, (1, *images.shape[1:])):
        raise ValueError(f"cannot compare images of shape {tuple(images.shape)} with {tuple(truth.shape)}")
    height, width = images.shape[-2:]
    if min(height, width) <= 2 * shave:
        raise ValueError(f"nothing is left of {height}x{width} pixels after shaving {shave} at each border")
    inner = (..., slice(shave, height - shave), slice(shave, width - shave))
    return images[inner].double(), truth[inner].double()


def _gaussian(images: Tensor) -> Tensor:
    """Filter `images` (N, C, H, W) with SSIM's window; return (N, C, H-10, W-10)."""
    distance = torch.arange(-RADIUS, RADIUS + 1, dtype=images.dtype, device=images.device)
    window = torch.exp(-0.5 * (distance / SIGMA) ** 2)
    window /= window.sum()
    return _along_rows(_along_rows(images, window).mT, window).mT


def _along_rows(images: Tensor, window: Tensor) -> Tensor:
    """Return the correlation of the rows of `images` (..., W) with `window` (w), where that lies inside: (..., W-w+1).

    As products with band matrices, block by block: in float64 ten times faster than torch's convolution.
    """
    length = images.shape[-1] - len(window) + 1
    block = min(BLOCK, length)
    band = torch.zeros(block + len(window) - 1, block, dtype=images.dtype, device=images.device)
    for offset in range(len(window)):
        band.diagonal(-offset).fill_(window[offset])
    filtered = images.new_empty(*images.shape[:-1], length)
    for start in range(0, length, block):
        first = min(start, length - block)
        filtered[..., first : first + block] = images[..., first : first + len(band)] @ band
    return filtered
