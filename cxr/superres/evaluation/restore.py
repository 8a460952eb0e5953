"""Bicubic interpolation and the trained networks, side by side on the test images."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from cxr.compute.device import machine
from cxr.dataset.packed import Dataset, Frame
from cxr.foundation.errors import UserError
from cxr.measures.quality import psnr, ssim
from cxr.superres import cost
from cxr.superres.degradation.levels import WHITE, in_unit_range, to_levels
from cxr.superres.degradation.reduction import low_resolution
from cxr.superres.enhance import restore
from cxr.superres.evaluation import second
from cxr.superres.evaluation.archive import Archive
from cxr.superres.evaluation.mean_errors import MeanErrors
from cxr.superres.evaluation.observed import Restored, degraded
from cxr.superres.methods import NETWORKS
from cxr.superres.model import Model, load_model
from cxr.superres.settings import Degradation


class Evaluated(NamedTuple):
    """What the test images have been measured to be: a row for each image, degradation and method, and where they err."""

    per_image: pd.DataFrame
    """Columns image, findings, patient, bits, model, degradation, psnr (dB), ssim, inconsistency (grey levels of 255)."""
    errors: MeanErrors


class Taken(NamedTuple):
    """What an image took a network."""

    seconds: float
    pixels: int
    """Of the result."""


class Restorers:
    """Every method, ready to restore what each of several degradations leaves of an image."""

    def __init__(
        self,
        models: Path,
        degradations: Sequence[Degradation],
        seed: int,
        device: torch.device,
        networks: Sequence[str] = NETWORKS,
    ) -> None:
        """Load of `networks` the files NAME.safetensors in the folder `models`, which the training stages wrote.

        `seed` is that of the noise. Raises UserError when one is missing, is no model, or was not trained for a scale.
        """
        self.degradations, self.seed, self.device = degradations, seed, device
        self.scales = sorted({each.scale for each in degradations})
        self.models = {name: _loaded(models / f"{name}.safetensors", name, self.scales, device) for name in networks}
        self.taken: dict[tuple[str, int], list[Taken]] = {(name, scale): [] for name in networks for scale in self.scales}
        """By network and scale what each image took so far."""

    def evaluate(self, data: Dataset, folder: Path) -> Evaluated:
        """Restore and measure the test images of `data` at every degradation, and keep in `folder` what was restored.

        Raises UserError where scikit-image measures otherwise.
        """
        rows = data.rows("test")
        errors, measurements = MeanErrors(data.images.shapes[rows]), []
        with Archive.writer(folder, data, self.degradations, self.seed) as writer:
            for number, row in enumerate(tqdm(rows, "evaluate", unit="image", disable=None)):
                described, image = data.table.iloc[row], data.images[row]
                of_image = {"image": described["id"], "findings": described["findings"], "patient": described["patient"]}
                for degradation in self.degradations:
                    restored = self.restore(image, described["id"], degradation)
                    writer.add(restored, degradation)
                    errors.add(restored, degradation)
                    of_image |= {"bits": image.bits, "degradation": degradation.name}
                    found = measured(restored, degradation.scale)
                    if number % second.EVERY == 0:
                        second.agree(restored, degradation.scale, found, described["id"])
                    measurements += [{**of_image, **each} for each in found]
        columns = ["image", "findings", "patient", "bits", "model", "degradation", "psnr", "ssim", "inconsistency"]
        return Evaluated(pd.DataFrame(measurements)[columns], errors)

    def restore(self, image: Frame, identity: str, degradation: Degradation) -> Restored:
        """Degrade `image`, whose id is `identity`, and return it with what each of the methods makes of the rest."""
        seen = degraded(image, identity, degradation, self.seed, self.device)
        enhanced = self.enhanced(seen.low.float(), seen.bicubic, degradation.scale)
        return seen.restored({name: to_levels(each, seen.white) for name, each in enhanced.items()})

    def enhanced(self, low: Tensor, bicubic: Tensor, scale: int) -> dict[str, Tensor]:
        """Return what each of the networks makes of the low-resolution image, or of that bicubically enlarged.

        (1, 1, H, W) and (1, 1, H * scale, W * scale), float32 in [0, 1].
        It multiplies in what its model chose when it was loaded (`cxr.superres.model.Model.precision`).
        """
        made = {}
        for name, model in self.models.items():
            begun = self._now()
            made[name] = restore(model, low, scale, bicubic=bicubic)
            self.taken[name, scale].append(Taken(self._now() - begun, bicubic.numel()))
        return made

    def _now(self) -> float:
        """Return a time in seconds, once the device has done what it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def costs(self) -> list[dict[str, Any]]:
        """Return a record for each network and scale: weights that make an image at it, multiply_adds for a pixel of that."""
        counts = {"weights": cost.weights, "multiply_adds": cost.multiply_adds}
        return [
            {"model": name, "scale": scale, **{what: count(model, scale) for what, count in counts.items()}}
            for name, model in self.models.items()
            for scale in self.scales
        ]

    def cost_table(self, checkpoints: Path) -> str:
        """Return as lines of text the `costs`, seconds a megapixel so far, and minutes of training for all scales together.

        The first image, in which a device warms up, does not count where there are others. Minutes are noted in the folder
        `checkpoints`; a dash stands where they are not.
        """
        lines = ["scale  model      weights   multiply-adds a pixel   seconds a megapixel   minutes of training, all scales"]
        for each in sorted(self.costs(), key=lambda each: each["scale"]):
            name, scale = each["model"], each["scale"]
            taken, path = self.taken[name, scale], self.models[name].path
            seconds, pixels = (sum(which) for which in zip(*(taken[1:] or taken or [Taken(0, 1)]), strict=True))
            trained = path and cost.minutes(checkpoints, name, path)
            costs = f"{each['weights']:9,}   {each['multiply_adds']:21,.0f}   {seconds / pixels * 1e6:19.2f}"
            lines.append(f"x{scale}     {name:8} {costs}   {'-' if trained is None else format(trained, '.1f'):>31}")
        return "\n".join(lines)

    def elsewhere(self) -> list[str]:
        """Return a line for each network that was trained with other threads, or on another kind of processor, than these."""
        here = machine()
        return [
            f"warning: {name} was trained with {there.get('threads')} threads of {there.get('processor')}; here, with "
            f"{here['threads']} of {here['processor']}, training would end a little elsewhere (docs/log.md)"
            for name, model in self.models.items()
            if (there := model.described.get("machine", here)) != here
        ]

    def precisions(self) -> dict[str, str]:
        """Return by network what it multiplies in."""
        return {name: str(model.precision).removeprefix("torch.") for name, model in self.models.items()}


def inconsistency(restored: Tensor, low: Tensor, scale: int, white: int = WHITE) -> Tensor:
    """Return how far `restored`, degraded again, is from what it was made of: the RMS difference in grey levels of 255 (N,).

    `restored` is in grey levels from 0 to `white` (N, 1, H, W), `low` the low-resolution image (N, 1, H/scale, W/scale). A
    network that invents structure which `low` contradicts shows here: the data consistency of Bahat and Michaeli, "Explorable
    Super Resolution", CVPR 2020, section 3. Where `low` has noise, a perfect restoration differs from it by that noise.
    """
    again = low_resolution(in_unit_range(restored, white), scale, white=white) * white
    return (again - low.to(again.dtype)).square().mean(dim=(1, 2, 3)).sqrt() * (WHITE / white)


def measured(restored: Restored, scale: int) -> list[dict[str, str | float]]:
    """Return a row for each of the methods: model, psnr in dB and ssim on the image's own range, inconsistency."""
    images = torch.cat(list(restored.images.values()))
    low = restored.low.expand(len(images), -1, -1, -1)
    quality = (measure(images, restored.truth, scale, restored.white) for measure in (psnr, ssim))
    found = *quality, inconsistency(images, low, scale, restored.white)
    return [
        {"model": model, "psnr": value, "ssim": similarity, "inconsistency": off}
        for model, value, similarity, off in zip(restored.images, *(each.tolist() for each in found), strict=True)
    ]


def _loaded(path: Path, name: str, scales: Sequence[int], device: torch.device) -> Model:
    """Return the model in `path`. Raises UserError unless it is the network `name`, trained for all of `scales`."""
    model = load_model(path, device)
    if model.name != name:
        raise UserError(f"{path} holds {model.name}, not {name}; train it again")
    if missing := [scale for scale in scales if scale not in model.networks]:
        raise UserError(f"{path} was not trained for x{missing[0]}; run dvc repro, which trains it")
    return model
