"""Training a detector: masked cross-entropy on the originals, epoch and thresholds chosen on validation images."""

import copy
import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from cxr.compute.checkpoint import Checkpoint
from cxr.compute.device import repeatable
from cxr.dataset.packed import Frames, Integers
from cxr.detection.detector import Network, refuse_large
from cxr.detection.frames import levels, seen
from cxr.detection.labels import Labels
from cxr.detection.networks.backbones import backbone
from cxr.detection.settings import Learning
from cxr.foundation.errors import UserError
from cxr.foundation.randomness import generator
from cxr.measures.intervals import Floats, Truths

SHIFT = 1 / 16  # of the side, by which a training image is moved at most
EMA_DECAY = 0.95  # share of the running mean of the weights that each step keeps
WEIGHT_DECAY = 0.05
DECIMALS = 3
"""Of figures that are kept."""
Row = dict[str, int | float]
"""One line of the training curves: epoch, learning_rate, loss, validation_loss."""


class Images(NamedTuple):
    """What a detector sees of N radiographs, and what is known of them."""

    pixels: Tensor
    """float16 (N, 1, S, S) in [0, 1]: 11 bits, and half the memory."""
    known: Tensor
    """float32 (N, F), 0 or 1."""
    shown: Tensor
    """float32 (N, F), 0 or 1."""

    @classmethod
    def of(cls, frames: Frames, rows: Integers, labels: Labels, size: int) -> "Images":
        """Return `rows` of `frames` and of `labels`."""
        squares = [
            seen(levels(frames[row]), size).half() for row in tqdm(rows, "images", unit="image", disable=None, leave=False)
        ]
        given = [torch.from_numpy(each[rows].astype(np.float32)) for each in (labels.known, labels.shown)]
        return cls(torch.cat(squares), *given)


class Fitted(NamedTuple):
    """The weights that were best on the validation images, and the epoch they are from."""

    weights: dict[str, Tensor]
    best_epoch: int
    curves: list[Row]
    features: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
    """What tells whether images are like others, of the training and of the validation images, (N, D) each."""
    logits: Floats
    """Of the validation images (N, F)."""


def fit(
    learnt: Images, chosen_on: Images, settings: Learning, device: torch.device, checkpoint: Checkpoint, every_seconds: float
) -> Fitted:
    """Train a network on the images `learnt`, and return its weights after the epoch that was best on `chosen_on`.

    Cross-entropy of what is known, with AdamW (Loshchilov and Hutter, ICLR 2019) along a cosine, on images mirrored and moved
    at random; what is judged is the running mean of the weights. In the first `settings.frozen_epochs` a backbone that learnt
    elsewhere stays as it is, and the linear layer on its features alone learns.
    A checkpoint that an interrupted run has left is taken up, and gives the bytes that the undisturbed run gives.
    Raises UserError when the backbone is not there, is too large, or diverges.
    """
    with torch.random.fork_rng(devices=[]), repeatable():
        torch.manual_seed(settings.seed)
        network = Network(backbone(settings.network, learnt.pixels.shape[-1]), learnt.shown.shape[1]).to(device)
        refuse_large(network, learnt.pixels.shape[-1])
        nn.utils.convert_conv2d_weight_memory_format(network, torch.channels_last)  # half as fast again on a CPU
        run = _Run(network, settings, max(1, len(learnt.pixels) // settings.batch))
        saved = time.monotonic()
        if state := checkpoint.load():
            run.load(state)
        with tqdm(total=settings.epochs, initial=run.epoch, desc="detector", unit="epoch", disable=None) as progress:
            while run.epoch < settings.epochs:
                run.learn(learnt, device)
                loss = run.judge(chosen_on, device)
                progress.update()
                progress.set_postfix_str(f"validation loss {loss:.3f}")
                if run.epoch == settings.epochs or time.monotonic() - saved >= every_seconds:
                    checkpoint.save(run.state())
                    saved = time.monotonic()
        network.load_state_dict(run.best["weights"])
        network.eval()
        described: Any = network.body.described
        features = _of_all(described, learnt, settings, device), _of_all(described, chosen_on, settings, device)
        logits = _of_all(network, chosen_on, settings, device).double().cpu().numpy()
        seen_as = features[0].cpu().numpy(), features[1].cpu().numpy()
        return Fitted(run.best["weights"], run.best["epoch"], run.curves, seen_as, logits)


class _Run:
    """All that a checkpoint must hold for training to go on as if nothing had happened."""

    def __init__(self, network: Network, settings: Learning, batches: int) -> None:
        self.network, self.settings, self.batches = network, settings, batches
        self.optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=WEIGHT_DECAY)
        self.averaged = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(EMA_DECAY), use_buffers=True)  # type: ignore[no-untyped-call]
        self.epoch = 0
        self.best: dict[str, Any] = {"loss": math.inf}
        self.curves: list[Row] = []

    @property
    def frozen(self) -> bool:
        """Tell whether the backbone stays as it is in this epoch."""
        return self.settings.network != "compact" and self.epoch < self.settings.frozen_epochs

    def learn(self, images: Images, device: torch.device) -> None:
        """Take the steps of the next epoch."""
        source = generator("detector", self.settings.seed, self.epoch)
        torch.manual_seed(int(torch.randint(2**62, (1,), generator=source)))  # dropout's, of this epoch alone
        self.network.train()
        for parameter in self.network.body.parameters():
            parameter.requires_grad_(not self.frozen)
        if self.frozen:
            self.network.body.eval()
        losses = []
        order = torch.randperm(len(images.pixels), generator=source)
        for step, rows in enumerate(order.tensor_split(self.batches)):
            done = (self.epoch + step / self.batches) / self.settings.epochs
            rate = self.settings.learning_rate * (1 + math.cos(math.pi * done)) / 2
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            logits = self.network(moved(images.pixels[rows], source).float().to(device))
            loss = masked_loss(logits, images.known[rows].to(device), images.shown[rows].to(device))
            self.optimizer.zero_grad()
            torch.autograd.backward(loss)
            self.optimizer.step()
            self.averaged.update_parameters(self.network)
            losses.append(float(loss.detach()))
        self.epoch += 1
        self.curves.append({"epoch": self.epoch, "learning_rate": rate, "loss": float(np.mean(losses))})

    def judge(self, images: Images, device: torch.device) -> float:
        """Measure the averaged weights on validation images, note it, and keep them if they are the best; return the loss."""
        judged = self.averaged.module.eval()
        logits = _of_all(judged, images, self.settings, device)
        loss = masked_loss(logits, images.known.to(device), images.shown.to(device)).item()
        if not math.isfinite(loss):
            raise UserError(f"training diverges: the validation loss of epoch {self.epoch} is {loss}; lower learning_rate")
        self.curves[-1]["validation_loss"] = loss
        if loss < self.best["loss"]:
            weights = {name: tensor.detach().cpu().clone() for name, tensor in judged.state_dict().items()}
            self.best = {"loss": loss, "epoch": self.epoch, "weights": weights}
        return loss

    def state(self) -> dict[str, Any]:
        """Return what `load` needs to go on from here."""
        parts = {name: getattr(self, name).state_dict() for name in ("network", "averaged", "optimizer")}
        return copy.copy({**parts, "epoch": self.epoch, "best": self.best, "curves": self.curves})

    def load(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        for name in ("network", "averaged", "optimizer"):
            getattr(self, name).load_state_dict(state[name])
        self.epoch, self.best, self.curves = state["epoch"], state["best"], state["curves"]


def masked_loss(logits: Tensor, known: Tensor, shown: Tensor) -> Tensor:
    """Return the mean cross-entropy of `logits` (N, F) where it is known what is `shown`; 0 where nothing is."""
    each = F.binary_cross_entropy_with_logits(logits, shown, reduction="none")
    return (each * known).sum() / known.sum().clamp(min=1)


def threshold(logits: Floats, shown: Truths, sensitivity: float) -> float:
    """Return the greatest logit from which on at least the share `sensitivity` of those (N,) that are `shown` are found."""
    count = math.ceil(sensitivity * shown.sum() - 1e-9)
    return float(np.sort(logits[shown])[-count])


def operating(logits: Floats, labels: Truths, threshold: float) -> dict[str, Any]:
    """Return how many of the cases (N,) with a finding, and of those without, are told by a frozen `threshold`."""
    yes = logits >= threshold
    return {
        "images": len(labels),
        "positives": int(labels.sum()),
        "threshold": round(threshold, DECIMALS),
        "sensitivity": round(float(yes[labels].mean()), DECIMALS),
        "specificity": round(float((~yes[~labels]).mean()), DECIMALS),
    }


def moved(images: Tensor, source: Generator) -> Tensor:
    """Return each of `images` (N, 1, S, S) mirrored or not, and moved by up to SHIFT of its side, its edges being reflected."""
    size = images.shape[-1]
    most = min(round(SHIFT * size), size - 1)
    padded = F.pad(images.float(), (most,) * 4, mode="reflect")
    places = torch.randint(2 * most + 1, (len(images), 2), generator=source).tolist()
    mirrored = torch.randint(2, (len(images),), generator=source).tolist()
    found = [image[:, y : y + size, x : x + size] for image, (y, x) in zip(padded, places, strict=True)]
    return torch.stack([image.flip(-1) if mirror else image for image, mirror in zip(found, mirrored, strict=True)])


@torch.inference_mode()
def _of_all(network: Callable[[Tensor], Tensor], images: Images, settings: Learning, device: torch.device) -> Tensor:
    return torch.cat([network(part.float().to(device)) for part in torch.split(images.pixels, settings.batch)])
