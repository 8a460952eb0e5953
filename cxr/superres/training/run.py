"""One network under training."""

import copy
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from cxr.compute.cuda_graph import CudaGraphed
from cxr.compute.device import multiplying_in
from cxr.compute.ranks import ALONE, Rank
from cxr.compute.soap import SOAP
from cxr.foundation.errors import UserError
from cxr.superres.settings import Degradation
from cxr.superres.training.crops import crops_of_degradation
from cxr.superres.training.settings import Training
from cxr.superres.training.validation import Validation

EMA_DECAY = 0.99  # share of the running mean of the weights that each step keeps: it is this mean that is judged and kept
WARM_UP = 0.02  # share of the steps in which the learning rate rises from nothing
CLIP = 0.5  # largest norm of a gradient; a batch of hard crops must not throw the network back
DIVERGED = 0.5  # a loss above half of the grey range is that of no network that is still learning
SLOWER = 0.5  # share of the learning rate with which a diverged run tries again
# Pixels, times layers, that are learnt from together on a CPU: more maps are too many to be used again. And of several pieces a
# core that is faster, or has less else to do, takes more.
AT_ONCE = 20 * 2**15
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
    ) -> None:
        self.network, self.settings, self.degradations, self.rank = network, settings, degradations, rank
        self.precision, self.validation_precision = precision, validation_precision
        # What runs forwards: with several ranks, running back through it averages their gradients.
        self.forwards = DistributedDataParallel(network) if rank.count > 1 else network
        self.averaged = copy.deepcopy(network)
        soap, parameters = settings.optimizer == "soap", network.parameters()
        self.optimizer = (SOAP if soap else torch.optim.Adam)(parameters, lr=settings.learning_rate)
        self.validation_steps = {
            math.ceil(settings.steps * i / settings.validations) for i in range(1, settings.validations + 1)
        }
        self.step = 0
        self.best: dict[str, Any] = {"score": -math.inf}
        self.curves: list[Row] = []
        self.losses = torch.zeros(len(degradations), device=next(network.parameters()).device)
        self.crops = [0] * len(degradations)  # of which `losses` holds the sums
        self.slowed = False
        self.layers = sum(parameter.ndim == 4 for parameter in network.parameters())
        self.threads: ThreadPoolExecutor | None = None
        self.recorded = CudaGraphed(self._clipped) if self.losses.is_cuda and rank.count == 1 else None
        self.last_good_state = copy.deepcopy(self._present())

    def train_step(self, inputs: Tensor, truth: Tensor) -> None:
        """Take the next optimiser step, on its batch, or this rank's share of it, (N, 1, P, P) of `Crops.observed`."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * self._schedule()
        (errors,) = self.recorded(inputs, truth) if self.recorded else self._clipped(inputs, truth)
        self.optimizer.step()
        keep = min(EMA_DECAY, (1 + self.step) / (10 + self.step)) if self.step else 0  # early weights are soon outdated
        means, weights = ([tensor.detach() for tensor in each.parameters()] for each in (self.averaged, self.network))
        torch._foreach_lerp_(means, weights, 1 - keep)
        kinds, batch = len(self.degradations), len(errors) * self.rank.count
        first = self.step * batch
        own = first + self.rank.share(batch).start
        sums = torch.stack([errors[crops_of_degradation(i, own, kinds)].sum() for i in range(kinds)])
        if self.rank.count > 1:
            distributed.all_reduce(sums)
        self.losses += sums
        self.crops = [before + len(range(batch)[crops_of_degradation(i, first, kinds)]) for i, before in enumerate(self.crops)]
        self.step += 1

    def compute_gradients(self, inputs: Tensor, truth: Tensor) -> Tensor:
        """Set the gradients to those of a batch, or of this rank's share of it; return the mean absolute error of each crop."""
        self.network.zero_grad()
        count = math.ceil(truth.numel() * self.layers / AT_ONCE) if truth.device.type == "cpu" else 1
        pieces = list(zip(inputs.chunk(count), truth.chunk(count), strict=True))
        if len(pieces) > 1 and self.rank.count == 1:
            return self._compute_gradients_side_by_side(pieces)
        found = []
        for piece in pieces:
            found.append(self._errors(*piece))
            torch.autograd.backward(found[-1].sum() / len(truth))
        return torch.cat(found).detach()

    def validate(self, validation: Validation) -> None:
        """Measure the averaged weights on the validation windows, note it in the curves, and keep them if they are the best."""
        with multiplying_in(self.validation_precision, self.losses.device):
            quality = validation.measure(self.averaged)
        for degradation, loss, crops in zip(self.degradations, self.losses.tolist(), self.crops, strict=True):
            (value, similarity), (bicubic, _) = quality[degradation], validation.bicubic[degradation]
            self.curves.append(
                {
                    "step": self.step,
                    "degradation": degradation.name,
                    "learning_rate": self.settings.learning_rate * self._schedule(),
                    "loss": loss / crops if crops else math.nan,
                    "psnr": value,
                    "ssim": similarity,
                    "gain": value - bicubic,
                }
            )
        self.losses.zero_()
        self.crops = [0] * len(self.crops)
        score = sum(value for value, _ in quality.values()) / len(quality)
        if score > self.best["score"]:
            self.best = {"score": score, "step": self.step, "weights": _copy(self.averaged)}
        self.last_good_state = copy.deepcopy(self._present())

    def diverged(self) -> bool:
        """Tell whether the loss since the last validation is no number, or absurd."""
        return not self._loss() <= DIVERGED  # which NaN is not either

    def roll_back(self) -> str:
        """Go back to the last validation, and on at half the learning rate; return what was done.

        Raises UserError when that has been done before.
        """
        cause = f"up to step {self.step} the loss was {self._loss():.3g}"
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
        return {
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            **{name: getattr(self, name) for name in ("step", "best", "curves", "losses", "crops")},
        }

    def _take(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.best, self.curves, self.crops = (state[name] for name in ("step", "best", "curves", "crops"))
        self.losses = state["losses"].to(self.losses.device)

    def _loss(self) -> float:
        return self.losses.sum().item() / sum(self.crops)

    def _errors(self, inputs: Tensor, truth: Tensor) -> Tensor:
        """Return the mean absolute error of each of some crops."""
        with multiplying_in(self.precision, inputs.device):
            restored: Tensor = self.forwards(inputs)
        return (restored - truth).abs().mean(dim=(1, 2, 3))

    def _clipped(self, inputs: Tensor, truth: Tensor) -> Sequence[Tensor]:
        """Do as `compute_gradients`, but shorten gradients that are too long."""
        errors = self.compute_gradients(inputs, truth)
        nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
        return [errors]

    def _compute_gradients_side_by_side(self, pieces: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """Do as `compute_gradients`, each piece in a thread with its share of the cores, so that no layer waits for another."""
        if self.threads is None:
            count = min(len(pieces), torch.get_num_threads())
            self.threads = ThreadPoolExecutor(count, "piece", torch.set_num_threads, (torch.get_num_threads() // count,))
        parameters = list(self.network.parameters())
        batch = sum(len(truth) for _, truth in pieces)

        def learn_from(piece: tuple[Tensor, Tensor]) -> tuple[Tensor, Sequence[Tensor]]:
            errors = self._errors(*piece)
            return errors.detach(), torch.autograd.grad(errors.sum() / batch, parameters)

        errors, gradients = zip(*self.threads.map(learn_from, pieces), strict=True)
        for parameter, *summands in zip(parameters, *gradients, strict=True):
            # In this order, whichever was first, so that two runs are equal bit for bit.
            parameter.grad = sum(summands, torch.zeros_like(parameter))  # which lies in memory as the parameter does
        return torch.cat(errors)

    def _schedule(self) -> float:
        """Return the share of the peak learning rate at which the next step is taken."""
        done = self.step / self.settings.steps
        rising = (self.step + 1) / max(1, round(WARM_UP * self.settings.steps))
        falling = (1 + math.cos(math.pi * done)) / 2 if self.settings.schedule == "cosine" else (1 - done) ** 2
        return (SLOWER if self.slowed else 1) * min(rising, falling)


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}
