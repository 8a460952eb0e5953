"""The recipe of public implementations of SRCNN and VDSR, as good as such code gets: what `benchmarks/speed.py` compares with.

Patches are cut, degraded and stored beforehand, and a DataLoader deals them out; the networks train in float32 and PyTorch's
default memory layout, with Adam and the mean squared error; at evaluation one image at a time goes through the networks and
scikit-image's metrics; radiographs are prepared one after the other with scikit-image. Written before what it is compared with
was made fast, and not edited to move a ratio. It uses nothing of `cxr`.
"""

from collections.abc import Generator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from skimage.io import imread
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from skimage.transform import resize
from skimage.util import img_as_ubyte
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

PATCH = 41  # pixels a side, as VDSR's authors have it
BATCH = 64
LEARNING_RATE = 1e-4

Levels = npt.NDArray[np.uint8]


def srcnn() -> nn.Module:
    """Return SRCNN 9-5-5 with 64 and 32 filters."""
    return nn.Sequential(
        nn.Conv2d(1, 64, 9, padding=4),
        nn.ReLU(inplace=True),
        nn.Conv2d(64, 32, 5, padding=2),
        nn.ReLU(inplace=True),
        nn.Conv2d(32, 1, 5, padding=2),
    )


class VDSR(nn.Module):
    """Twenty 3x3 layers of 64 filters, and the input added to what they find."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise([1, *[64] * 19, 1]):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(inplace=True)]
        self.residual = nn.Sequential(*layers[:-1])

    def forward(self, images: Tensor) -> Tensor:
        """Return the enhanced images."""
        enhanced: Tensor = images + self.residual(images)
        return enhanced


def degrade(image: Levels, scale: int) -> tuple[Levels, Levels]:
    """Return `image`, cropped to a multiple of the scale, and its low-resolution copy enlarged again, both uint8 (H, W)."""
    height, width = (side - side % scale for side in image.shape)
    truth = image[:height, :width]
    low = Image.fromarray(truth).resize((width // scale, height // scale), Image.Resampling.BICUBIC)
    return truth, np.array(low.resize((width, height), Image.Resampling.BICUBIC))


def store_patches(images: Sequence[Levels], scales: Sequence[int]) -> TensorDataset:
    """Return degraded and true patches of every image and scale, side by side: float32 (N, 1, PATCH, PATCH) in [0, 1]."""
    inputs, truths = [], []
    for image in images:
        for scale in scales:
            truth, degraded = degrade(image, scale)
            height, width = truth.shape
            for top in range(0, height - PATCH + 1, PATCH):
                for left in range(0, width - PATCH + 1, PATCH):
                    window = slice(top, top + PATCH), slice(left, left + PATCH)
                    inputs.append(degraded[window])
                    truths.append(truth[window])
    return TensorDataset(*(torch.from_numpy(np.stack(each))[:, None].float() / 255 for each in (inputs, truths)))


def train(network: nn.Module, patches: TensorDataset, workers: int) -> Generator[float]:
    """Train for ever; yield the loss of each step. `workers` processes load the patches, or this one when 0."""
    loader = DataLoader(patches, BATCH, shuffle=True, drop_last=True, num_workers=workers, persistent_workers=workers > 0)
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    measure = nn.MSELoss()
    while True:
        for inputs, truth in loader:
            loss = measure(network(inputs), truth)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield loss.item()


@torch.inference_mode()
def evaluate(networks: Sequence[nn.Module], image: Levels, scale: int) -> list[tuple[float, float]]:
    """Return PSNR and SSIM of bicubic interpolation and of each of `networks` on one image, `scale` pixels shaved."""
    truth, degraded = degrade(image, scale)
    results = [degraded]
    for network in networks:
        restored = network(torch.from_numpy(degraded)[None, None].float() / 255)
        results.append((restored.clamp(0, 1) * 255).round().byte()[0, 0].numpy())
    inner = (slice(scale, -scale),) * 2
    return [
        (
            float(peak_signal_noise_ratio(truth[inner], result[inner], data_range=255)),
            float(
                structural_similarity(
                    truth[inner], result[inner], data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
                )
            ),
        )
        for result in results
    ]


def preprocess(files: Sequence[Path], size: int) -> Levels:
    """Return the central squares of `files`, but for the smaller ones, as grey levels: uint8 (N, size, size)."""
    prepared = []
    for file in files:
        image = imread(file, as_gray=True)
        height, width = image.shape
        side = min(height, width)
        if side < size:
            continue
        top, left = (height - side) // 2, (width - side) // 2
        square = image[top : top + side, left : left + side]
        prepared.append(img_as_ubyte(np.clip(resize(square, (size, size), order=3, anti_aliasing=True), 0, 1)))
    return np.stack(prepared)
