"""One network under training."""

import copy
import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from cxr.compute.cuda_graph import CudaGraphed
from cxr.compute.ranks import ALONE, Rank
from cxr.compute.soap import SOAP
from cxr.foundation.errors import UserError
from cxr.superres.kernels.forms import AS_PUBLISHED, Forms
from cxr.superres.network import is_post_upsampling
from cxr.superres.settings import Degradation
from cxr.superres.training.losses import Losses
from cxr.superres.training.schedule import share_of_peak
from cxr.superres.training.settings import Training
from cxr.superres.training.turns import Turns
from cxr.superres.training.validation import Validation

EMA_DECAY = 0.99  # share of the running mean of the weights that each step keeps: it is this mean that is judged and kept
CLIP = 0.5  # largest norm of a gradient; a batch of hard crops must not throw the network back
DIVERGED = 0.5  # a loss above half of the grey range is that of no network that is still learning
SLOWER = 0.5  # share of the learning rate with which a diverged run tries again
Row = dict[str, str | int | float]
"""One line of the training curves: step, degradation, learning_rate, loss, psnr (dB), ssim, gain (dB)."""


class Run:
    """One network under training: all that a checkpoint must hold for it to go on as if nothing had happened."""

    def __init__(
        self,
        network: nn.Module,
        settings: Training,
        degradations: Sequence[Degradation],
        precision: torch.dtype,
        validation_precision: torch.dtype = torch.float32,
        rank: Rank = ALONE,
        forms: Forms = AS_PUBLISHED,
    ) -> None:
        """Prepare to train `network` for `degradations` together, multiplying in `precision`, and to judge its mean."""
        self.network, self.settings, self.degradations, self.rank = network, settings, degradations, rank
        device = next(network.parameters()).device
        learning = forms.learning(network, device, precision)
        turns = Turns(degradations, settings.batch, is_post_upsampling(network))
        # With several ranks, running back through this averages their gradients.
        unused = turns.a_scale_a_step and len({each.scale for each in degradations}) > 1  # layers of the other scales
        parallel = partial(DistributedDataParallel, find_unused_parameters=unused)
        self.forwards = parallel(learning) if rank.count > 1 else learning
        self.averaged = AveragedModel(network, multi_avg_fn=self._follow)
        self.judged = forms.restoring(self.averaged.module, device, validation_precision)
        optimizer = partial(SOAP, every=settings.soap_every) if settings.optimizer == "soap" else torch.optim.Adam
        self.optimizer = optimizer(network.parameters(), lr=settings.learning_rate)
        self.losses = Losses(turns, device)
        self.records = device.type == "cuda" and rank.count == 1
        self.recorded: dict[torch.Size, CudaGraphed] = {}
        for parameter in network.parameters():  # gradients stay where they are, and are zero where a step does not use a layer
            parameter.grad = torch.zeros_like(parameter)
        self.step = 0
        self.best: dict[str, Any] = {"score": -math.inf}
        self.curves: list[Row] = []
        self.slowed = False
        self.last_good_state = copy.deepcopy(self._present())

    def train_step(self, *batch: Tensor) -> None:
        """Take the next optimiser step, on its batch, or this rank's share of it, of `Crops.observed`."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate
        work = self.recorded.setdefault(batch[0].shape, CudaGraphed(self._clipped)) if self.records else self._clipped
        (losses,) = work(*batch)
        self.optimizer.step()
        self.averaged.update_parameters(self.network)
        self.losses.add(losses, self.step, self.rank)
        self.step += 1

    def compute_gradients(self, *batch: Tensor) -> Tensor:
        """Set the gradients to those of a batch, or of this rank's share of it; return the loss of each crop.

        It is the mean absolute error and, `settings.fourier` times as heavy, the mean amplitude of the error's Fourier
        transform, orthonormal, by which hard edges weigh more; divided by the weights' sum. Cho, Ji, Hong, Jung and Ko,
        "Rethinking Coarse-to-Fine Approach in Single Image Deblurring", ICCV 2021.
        """
        *inputs, truth = batch
        self.network.zero_grad(set_to_none=False)
        errors = self.forwards(*inputs) - truth
        losses: Tensor = errors.abs().mean(dim=(1, 2, 3))
        if weight := self.settings.fourier:
            amplitudes = torch.fft.fft2(errors, norm="ortho").abs()
            losses = (losses + weight * amplitudes.mean(dim=(1, 2, 3))) / (1 + weight)
        torch.autograd.backward(losses.mean())
        return losses.detach()

    def validate(self, validation: Validation) -> None:
        """Measure the averaged weights on the validation windows, note it in the curves, and keep them if they are the best."""
        quality = validation.measure(self.judged)
        for degradation, loss in zip(self.degradations, self.losses.means(), strict=True):
            (value, similarity), (bicubic, _) = quality[degradation], validation.bicubic[degradation]
            self.curves.append(
                {
                    "step": self.step,
                    "degradation": degradation.name,
                    "learning_rate": self.learning_rate,
                    "loss": loss,
                    "psnr": value,
                    "ssim": similarity,
                    "gain": value - bicubic,
                }
            )
        self.losses.clear()
        score = sum(value for value, _ in quality.values()) / len(quality)
        if score > self.best["score"]:
            self.best = {"score": score, "step": self.step, "weights": _copy(self.averaged.module)}
        self.last_good_state = copy.deepcopy(self._present())

    @property
    def learning_rate(self) -> float:
        """Return the rate at which the next step is taken."""
        share = share_of_peak(self.step, self.settings.steps, self.settings.schedule)
        return self.settings.learning_rate * share * (SLOWER if self.slowed else 1)

    def diverged(self) -> bool:
        """Tell whether the loss since the last validation is no number, or absurd."""
        return not self.losses.mean() <= DIVERGED  # which NaN is not either

    def roll_back(self) -> str:
        """Go back to the last validation, and on at half the learning rate; return what was done.

        Raises UserError when that has been done before.
        """
        cause = f"up to step {self.step} the loss was {self.losses.mean():.3g}"
        if self.slowed:
            raise UserError(f"training diverges: {cause}, also at half the learning rate; set a lower learning_rate")
        self._take(copy.deepcopy(self.last_good_state))
        self.slowed = True
        return f"{cause}; went back to step {self.step}, and on at half the learning rate"

    def progress_text(self) -> str:
        """Return the last measured gain over bicubic by degradation, for the eye."""
        return ", ".join(f"{row['degradation']} {row['gain']:+.2f} dB" for row in self.curves[-len(self.degradations) :])

    def state(self) -> dict[str, Any]:
        """Return what `load_state` needs to go on from here."""
        return {**self._present(), "last_good_state": self.last_good_state, "slowed": self.slowed}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self._take(state)
        self.last_good_state, self.slowed = state["last_good_state"], state["slowed"]

    def _present(self) -> dict[str, Any]:
        parts = {name: getattr(self, name).state_dict() for name in ("network", "averaged", "optimizer", "losses")}
        return {**parts, "step": self.step, "best": self.best, "curves": self.curves}

    def _take(self, state: dict[str, Any]) -> None:
        for name in ("network", "averaged", "optimizer", "losses"):
            getattr(self, name).load_state_dict(state[name])
        self.step, self.best, self.curves = state["step"], state["best"], state["curves"]

    def _clipped(self, *batch: Tensor) -> Sequence[Tensor]:
        """Do as `compute_gradients`, but shorten gradients that are too long."""
        losses = self.compute_gradients(*batch)
        nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
        return [losses]

    def _follow(self, means: Sequence[Tensor], weights: Sequence[Tensor], count: Tensor | int) -> None:
        """Move the running means of the weights towards the `weights` of this step."""
        keep = min(EMA_DECAY, (1 + self.step) / (10 + self.step))  # early weights are soon outdated
        get_ema_multi_avg_fn(keep)(means, weights, count)  # type: ignore[no-untyped-call]


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}
