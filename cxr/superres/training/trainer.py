"""Training a super-resolution network: data, device, the loop, validation, checkpoints, progress."""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import lcm
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from cxr.compute.checkpoint import Checkpoint
from cxr.compute.device import choose_device, choose_precision, machine, repeatable
from cxr.compute.ranks import ALONE, Rank
from cxr.dataset.packed import Dataset, digest
from cxr.foundation.errors import UserError
from cxr.foundation.runtime import Runtime
from cxr.superres.kernels.forms import Forms
from cxr.superres.network import is_post_upsampling, is_told, laid_out
from cxr.superres.settings import Degradation, Ranges
from cxr.superres.training.crops import Crops, needed_margin
from cxr.superres.training.run import Row, Run
from cxr.superres.training.schedule import validation_steps
from cxr.superres.training.settings import Augment, Training
from cxr.superres.training.validation import Validation


@dataclass(frozen=True)
class Fitted:
    """The weights that were best on the validation windows, the step they are from, and how training went."""

    weights: dict[str, Tensor]
    best_step: int
    curves: list[Row]


class Trainer:
    """What the networks of one training stage share: data, settings, hardware and a folder for checkpoints."""

    def __init__(
        self,
        data: Dataset,
        settings: Training,
        augment: Augment,
        runtime: Runtime,
        checkpoints: Path,
        made_with: Mapping[str, str],
        rank: Rank = ALONE,
    ) -> None:
        """Choose device and precision; `made_with` tells code and versions, another of which must not go on from a checkpoint.

        Raises UserError when the device that `runtime` asks for is not there.
        """
        self.data, self.settings, self.augment, self.rank = data, settings, augment, rank
        self.device = choose_device(runtime.device)
        self.precision = choose_precision(settings.precision, self.device)
        self.checkpoints, self.checkpoint_seconds = checkpoints, 60 * runtime.checkpoint_minutes
        self.description: dict[str, Any] = {
            "settings": asdict(settings),
            "augment": asdict(augment),
            "data": {part: digest(data.images, data.rows(part)) for part in ("train", "val")},
            "device": self.device.type,
            "precision": str(self.precision).removeprefix("torch."),
            "made_with": dict(made_with),
            "machine": machine(),
        }
        self.seconds = 0.0
        """That the networks took: validation, too, and what checkpoints keep of interrupted runs."""
        self._written: list[Checkpoint] = []

    def fit(
        self,
        name: str,
        network: nn.Module,
        degradations: Sequence[Degradation],
        steps: int | None = None,
        validation_precision: torch.dtype = torch.float32,
        *,
        forms: Forms,
        ranges: Ranges | None = None,
    ) -> Fitted:
        """Train `network` for `degradations` together, for the settings' steps or for `steps`; return what validated best.

        With `ranges` that vary it learns, and is judged, from what is drawn of them at the scales of `degradations`.
        On the validation windows it multiplies in `validation_precision`, which should be what it will be evaluated in.
        Of `forms` the ones for this device run. The loss is that of `Run.compute_gradients`. A checkpoint that an interrupted
        run has left is taken up; a network that was finished before its stage was interrupted comes back from its checkpoint at
        once. When the loss is no number or the network diverges, training goes back to the last validation and on from there at
        half the learning rate, once.
        Raises UserError when there are too few or too small images, when the patch does not fit the scales of a post-upsampling
        network, or when training diverges a second time.
        """
        images, settings = self.data.images, replace(self.settings, steps=steps or self.settings.steps)
        post_upsampling = is_post_upsampling(network)
        if post_upsampling and (wrong := [each.scale for each in degradations if settings.patch % each.scale]):
            least = lcm(*(each.scale for each in degradations))
            raise UserError(f"a patch of {settings.patch} is no multiple of the scale {wrong[0]}; set a multiple of {least}")
        varied = ranges if ranges and ranges.varied else None
        if varied:
            degradations = [
                Degradation(scale, condition="ranges") for scale in dict.fromkeys(each.scale for each in degradations)
            ]
        margin = needed_margin([varied.widest(each.scale) for each in degradations] if varied else degradations)
        drawing = settings.patch, settings.batch, settings.seed, self.device, self.rank, margin
        knows = is_told(network)
        crops = Crops(images, self.data.rows("train"), self.augment, *drawing, post_upsampling, varied, knows)
        validation = Validation(images, self.data.rows("val"), degradations, self.device, post_upsampling, varied, knows)
        network = laid_out(network, self.device)
        run = Run(network, settings, degradations, self.precision, validation_precision, self.rank, forms)
        validated = validation_steps(settings.steps, settings.validations)
        weights = {name: list(weight.shape) for name, weight in network.named_parameters()}
        told = {key: value for key, value in self.description.items() if key != "machine"}  # another may go on, and says so
        identity = {**told, "degradations": degradations, "steps": settings.steps, "weights": weights}
        identity |= {"ranges": asdict(varied)} if varied else {}
        checkpoint = Checkpoint(self.checkpoints, name, identity)
        self._written.append(checkpoint)
        saved = begun = time.monotonic()
        if state := checkpoint.load():
            run.load_state(state)
            begun -= state["seconds"]
        with (
            tqdm(
                desc=name, total=settings.steps, initial=run.step, unit="step", disable=None if self.rank.first else True
            ) as progress,
            repeatable(),
        ):
            while run.step < settings.steps:
                run.train_step(*crops.observed(run.step, degradations))
                progress.update()
                if run.step in validated and run.diverged():
                    warning = f"warning: {name}: {run.roll_back()}"
                    if self.rank.first:
                        progress.write(warning, file=sys.stderr)
                    progress.n = run.step
                elif run.step in validated:
                    run.validate(validation)
                    progress.set_postfix_str(run.progress_text())
                if run.step == settings.steps or time.monotonic() - saved >= self.checkpoint_seconds:
                    if self.rank.first:
                        checkpoint.save({**run.state(), "seconds": time.monotonic() - begun})
                    saved = time.monotonic()
        self.seconds += time.monotonic() - begun
        return Fitted(run.best["weights"], run.best["step"], run.curves)

    def forget(self) -> None:
        """Remove the checkpoints: what they led to has been written."""
        for checkpoint in self._written:
            checkpoint.remove()
