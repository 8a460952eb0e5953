"""A classifier, NORMAL against PNEUMONIA, trained on the original images: what enhancement does for it."""

import copy
import importlib
from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from cxr.dataset.packed import Frame, Frames, Integers
from cxr.detection.compact import Compact, standardised
from cxr.detection.settings import Diagnose
from cxr.foundation.errors import UserError
from cxr.foundation.randomness import generator

NEGATIVE, POSITIVE = "NORMAL", "PNEUMONIA"
SHIFT = 16  # pixels by which a training image is moved at most
EMA_DECAY = 0.95  # share of the running mean of the weights that each step keeps
WEIGHT_DECAY = 0.05
IMAGENET = (0.449, 0.226)  # mean and standard deviation of grey levels, which pretrained backbones expect


class Backbone(nn.Module):
    """A pretrained network for ImageNet, on grey images, with one more layer on top of its 1,000 classes."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.head = network, nn.Linear(1000, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N,) of `images`, float32 (N, 1, H, W) in [0, 1]."""
        # As bright and as contrasty as the images that it learnt from, whatever the exposure.
        mean, deviation = IMAGENET
        coloured = ((standardised(images) * deviation + mean).clamp(0, 1) - mean) / deviation
        logits: Tensor = self.head(self.network(coloured.expand(-1, 3, -1, -1)))[:, 0]
        return logits


def classifier(name: str) -> nn.Module:
    """Return the untrained compact network, or a pretrained backbone of torchvision or timm.

    Raises UserError when the package, the network or its weights are not there.
    """
    if name == "compact":
        return Compact()
    package, _, network = name.partition(":")
    try:
        module = importlib.import_module({"torchvision": "torchvision.models"}.get(package, package))
    except ImportError:
        raise UserError(f"diagnose.network is {name}, but {package} is not installed; pip install it, or use compact") from None
    except RuntimeError as error:  # as when torch is a build for CPUs and torchvision one for CUDA
        reason = " ".join(str(error).split())
        raise UserError(
            f"diagnose.network is {name}, but this {package} is not made for torch {torch.__version__} ({reason}); "
            f"install the {package} that is, or use compact"
        ) from None
    try:
        if package == "torchvision":
            made = module.get_model(network, weights="DEFAULT")
        else:
            made = module.create_model(network, pretrained=True)
    except (ValueError, RuntimeError, OSError) as error:
        raise UserError(f"diagnose.network {name}: {' '.join(str(error).split())}; name another, or use compact") from None
    return Backbone(cast(nn.Module, made))


def lacking(labels: npt.NDArray[np.bool_], parts: Mapping[str, npt.NDArray[np.intp]]) -> str | None:
    """Return why nothing can be told when the rows of one of `parts`, by name, are all of one class; else None."""
    for part, rows in parts.items():
        if len(set(labels[rows])) < 2:
            return f"the {part} images are not of both classes, {NEGATIVE} and {POSITIVE}; give more of them"
    return None


def train(
    images: Frames,
    labels: npt.NDArray[np.bool_],
    train_rows: Integers,
    val_rows: Integers,
    settings: Diagnose,
    device: torch.device,
) -> nn.Module:
    """Return a classifier trained on rows `train_rows` of `images`, the epoch being chosen on the rows `val_rows`.

    It sees the central squares, which are of one size, since the shape of the whole frame can tell the class.

    Cross-entropy with AdamW (Loshchilov and Hutter, ICLR 2019) along a cosine, on images mirrored and moved at random; what is
    judged is the running mean of the weights. `labels` (N,) are true for PNEUMONIA.
    Both must hold both classes (`lacking`).
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network = classifier(settings.network).to(device)
        nn.utils.convert_conv2d_weight_memory_format(network, torch.channels_last)  # half as fast again on a CPU
        return _trained(
            network, images, torch.tensor(labels, dtype=torch.float32, device=device), train_rows, val_rows, settings
        )


def _trained(
    network: nn.Module,
    images: Frames,
    labels: Tensor,
    train_rows: Integers,
    val_rows: Integers,
    settings: Diagnose,
) -> nn.Module:
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=WEIGHT_DECAY)
    batches = max(1, len(train_rows) // settings.batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.epochs * batches)
    mean = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(EMA_DECAY))  # type: ignore[no-untyped-call]
    best, kept = np.inf, copy.deepcopy(mean.module)
    for epoch in tqdm(range(settings.epochs), "diagnose", unit="epoch", disable=None):
        source = generator("diagnose", settings.seed, epoch)
        network.train()
        order = train_rows[torch.randperm(len(train_rows), generator=source).numpy()]
        for rows in np.array_split(order, batches):
            logits = network(_moved(_pixels(images, rows, labels.device), source))
            optimizer.zero_grad()
            torch.autograd.backward(F.binary_cross_entropy_with_logits(logits, labels[rows]))
            optimizer.step()
            schedule.step()
            mean.update_parameters(network)
        loss = F.binary_cross_entropy_with_logits(predicted(mean.module, images, val_rows), labels[val_rows]).item()
        if loss < best:
            best, kept = loss, copy.deepcopy(mean.module)
    return kept


@torch.inference_mode()
def predicted(network: nn.Module, images: Frames | Sequence[Tensor], rows: Integers | None = None) -> Tensor:
    """Return the logits (N,) of the images in `rows`, or of each of a sequence of tensors (1, 1, H, W) in [0, 1]."""
    network.eval()
    device = next(network.parameters()).device
    if isinstance(images, Frames):
        return torch.cat([network(_pixels(images, [row], device)) for row in (range(len(images)) if rows is None else rows)])
    return torch.cat([network(central_square(image.to(device))) for image in images])


def central_square(images: Tensor) -> Tensor:
    """Return the central squares (N, 1, S, S) of `images` (N, 1, H, W)."""
    height, width = images.shape[-2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return images[..., top : top + side, left : left + side]


def _pixels(images: Frames, rows: Integers | Sequence[int], device: torch.device) -> Tensor:
    return torch.cat([central_square(_unit_range(images[row])) for row in rows]).to(device)


def _unit_range(image: Frame) -> Tensor:
    return torch.from_numpy(image.pixels.astype(np.float32))[None, None] / image.white


def _moved(images: Tensor, source: Generator) -> Tensor:
    """Return each of `images` (N, 1, S, S) mirrored or not, and moved by up to SHIFT pixels, its edges being reflected."""
    size, most = images.shape[-1], min(SHIFT, images.shape[-1] - 1)
    padded = F.pad(images, (most,) * 4, mode="reflect")
    places = torch.randint(2 * most + 1, (len(images), 2), generator=source).tolist()
    mirrored = torch.randint(2, (len(images),), generator=source).tolist()
    moved = [image[:, y : y + size, x : x + size] for image, (y, x) in zip(padded, places, strict=True)]
    return torch.stack([image.flip(-1) if mirror else image for image, mirror in zip(moved, mirrored, strict=True)])
