"""A detector: what it makes of radiographs, and its file."""

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from cxr.compute import modelfile
from cxr.detection.abstaining import Floats, Sets, Usual
from cxr.detection.frames import seen
from cxr.detection.networks.backbones import backbone
from cxr.detection.settings import NETWORKS
from cxr.foundation.errors import UserError

DROPOUT = 0.2
DIGITS = 12
MOST_SIZE = 4096
NAME = "detector"
"""Of its weights in a model file."""
SPREAD = "usual"
"""Of what its features are like."""
COUNTS = "num_batches_tracked"
"""What batch normalisation counts, which decides nothing."""


class Network(nn.Module):
    """A backbone, and a logit for each finding: above 0 where it is more likely than not, as often as in training."""

    def __init__(self, body: nn.Module, findings: int) -> None:
        super().__init__()
        self.body, self.dropout = body, nn.Dropout(DROPOUT)
        self.head = nn.Linear(int(body.width), findings)  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (N, F) of `images`, float32 (N, 1, H, W) in [0, 1]."""
        found: Tensor = self.head(self.dropout(self.body(images)))
        return found


class Detector(NamedTuple):
    """A network that was trained, and what its file says of it."""

    network: Network
    findings: tuple[str, ...]
    thresholds: Mapping[str, float]
    """By finding, the logit from which on it says yes: chosen on validation images, and frozen."""
    sets: Mapping[str, Sets]
    """By finding, which answers are held, as validation images have it."""
    usual: Usual
    """What radiographs like those that it learnt from look like to it."""
    size: int
    """Rows and columns of what it sees."""
    description: Mapping[str, Any]
    digest: str
    """Names it: the beginning of the SHA-256 of its file, in hex."""

    @torch.inference_mode()
    def looks(self, image: Tensor) -> tuple[Floats, float]:
        """Return the logits (F,) of `image` (1, 1, H, W) in [0, 1], and how far it is from what is usual."""
        device = next(self.network.parameters()).device
        square = seen(image.to(device), self.size)
        logits: Floats = self.network.eval()(square)[0].double().cpu().numpy()
        features = self.network.body.described(square)  # type: ignore[operator]
        return logits, float(self.usual.distance(features.float().cpu().numpy())[0])


@torch.inference_mode()
def described_by(network: Network, size: int) -> int:
    """Return how many features tell whether images of that `size` are like others."""
    image = torch.zeros(1, 1, size, size, device=next(network.parameters()).device)
    return int(network.eval().body.described(image).shape[1])  # type: ignore[operator]


def refuse_large(network: Network, size: int) -> None:
    """Raise UserError when the file of `network` would be larger than what is read."""
    width = described_by(network, size)
    count = width**2 + sum(tensor.numel() for tensor in network.state_dict().values())
    if 4 * count > modelfile.MOST_BYTES - modelfile.MOST_OF_HEADER:
        most = modelfile.MOST_BYTES >> 20
        raise UserError(
            f"a detector on this network has {4 * count >> 20:,} MB, more than the {most} that are read; name another"
        )


def write_none(path: Path, description: Mapping[str, Any]) -> None:
    """Write that none could be trained."""
    modelfile.write(path, {}, description)


def write(
    path: Path, weights: Mapping[str, Tensor], sets: Mapping[str, Sets], usual: Usual, description: Mapping[str, Any]
) -> None:
    """Write a detector."""
    kept = {name: tensor for name, tensor in weights.items() if not name.endswith(COUNTS)}
    spread = {"mean": torch.from_numpy(usual.mean), "whitening": torch.from_numpy(usual.whitening)}
    ends = {name: [end if math.isfinite(end) else None for end in each] for name, each in sets.items()}
    modelfile.write(path, {NAME: kept, SPREAD: spread}, {**description, "sets": ends, "farthest": usual.farthest})


def read(path: Path, device: torch.device) -> Detector | None:
    """Return the detector in the file `path`; None where it says that none could be trained.

    Raises UserError when it is missing, damaged, or of something else.
    """
    weights, said = modelfile.read(path)
    try:
        findings, size = tuple(map(str, said["findings"])), said.get("size")
        if not findings:
            return None
        if not NETWORKS.fullmatch(str(said["network"])):
            raise ValueError(f"its network is {str(said['network'])[:32]!r}")
        if not isinstance(size, int) or not 1 <= size <= MOST_SIZE:
            raise ValueError(f"its size is no number from 1 to {MOST_SIZE:,}")
        if not all(name.isprintable() and name for name in findings):
            raise ValueError("a finding has signs that cannot be printed")
        network = Network(backbone(str(said["network"]), size, learnt=False), len(findings))
        missing = network.load_state_dict(weights[NAME], strict=False)
        if missing.unexpected_keys or [name for name in missing.missing_keys if not name.endswith(COUNTS)]:
            raise ValueError("its weights are of another network")
        thresholds = {name: float(said["thresholds"][name]) for name in findings}
        held = {name: _sets(*said["sets"][name]) for name in findings}
        spread = [weights[SPREAD][name].numpy() for name in ("mean", "whitening")]
        usual = Usual(spread[0], spread[1], float(said["farthest"]))
        width = described_by(network, size)
        if usual.mean.shape != (width,) or usual.whitening.shape != (width, width) or not math.isfinite(usual.farthest):
            raise ValueError("what is usual to it does not fit")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:DIGITS]
        return Detector(network.to(device), findings, thresholds, held, usual, size, said, digest)
    except (KeyError, TypeError, ValueError, RuntimeError, OverflowError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path} is no detector of this project ({reason}); train it again") from None


def _sets(least_with: float | None, most_without: float | None) -> Sets:
    return Sets(
        -math.inf if least_with is None else float(least_with), math.inf if most_without is None else float(most_without)
    )
