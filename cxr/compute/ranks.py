"""Several processes that train one network together, on one machine or more, under torch's own launcher."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch
from torch import distributed

from cxr.foundation.errors import UserError
from cxr.foundation.place import ROOT

PATIENCE = timedelta(seconds=40)  # for a rank that does not answer
PARTNER_LOST = 75  # exit code of a rank that found another one gone; what happened to that one is told instead


@dataclass(frozen=True)
class Rank:
    """A process among those that train together: rank `number` of `count`."""

    number: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Tell whether this is the rank that shows progress and writes files."""
        return self.number == 0

    def share(self, batch: int) -> slice:
        """Return which crops of a batch, whose size must be a multiple of `count`, are this rank's."""
        size = batch // self.count
        return slice(self.number * size, (self.number + 1) * size)


ALONE = Rank()


def launched() -> bool:
    """Tell whether torch's launcher started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def launch(module: str, count: int, workspace: Path) -> None:
    """Run `python -m module` in the folder `workspace` in `count` processes under torchrun, and wait.

    torchrun's own environment variables (`PET_NNODES`, `PET_RDZV_ENDPOINT`, ...) spread them over several machines.
    Raises UserError when a process is lost, and SystemExit when one ends with an error that it has told itself.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException  # noqa: PLC0415 - only where there are ranks
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError  # noqa: PLC0415
    from torch.distributed.run import get_args_parser, run  # noqa: PLC0415

    nodes = int(os.environ.get("PET_NNODES", "1"))
    here = count // nodes
    if here * nodes != count:
        raise UserError(f"{count} ranks cannot be shared evenly among {nodes} machines (PET_NNODES); make them a multiple")
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, torch.get_num_threads() // here)))
    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)  # what it would log is told below in one line
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    alone = ["--standalone"] if nodes == 1 else []
    try:
        with chdir(workspace):
            run(get_args_parser().parse_args([*alone, f"--nproc-per-node={here}", "-m", module]))  # type: ignore[no-untyped-call]
    except SignalException as stopped:
        sys.exit(128 + stopped.sigval)
    except ChildFailedError as failed:
        told = [failure.exitcode for failure in failed.failures.values() if failure.exitcode not in {PARTNER_LOST, -15}]
        if told and all(code > 0 for code in told):
            sys.exit(told[0])
        lost = ", ".join(f"{rank} ({_ending(failure.exitcode)})" for rank, failure in sorted(failed.failures.items()))
        raise UserError(
            f"training lost a rank of {count}: rank {lost}; run it again, and it goes on from its last checkpoint"
        ) from None


@contextmanager
def joined(count: int, device: torch.device) -> Iterator[Rank]:
    """Enter the group of the launched processes; or be the only one where none was launched.

    Ends the process when a partner is lost. Raises UserError when they are not as many as `count`.
    """
    if not launched():
        yield ALONE
        return
    number, found = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if found != count:
        raise UserError(f"ranks is {count}, but torchrun started {found} processes; make them equal")
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    # Of a filter of one channel two orders of strides are the same in memory; that the gradient has the other costs nothing.
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
    try:
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
        try:
            yield Rank(number, found)
        finally:
            distributed.destroy_process_group()
    except UserError:
        if number == 0:
            raise
        sys.exit(1)  # all ranks find the same fault, and one tells it
    except RuntimeError as error:
        if not _of_a_lost_partner(error):
            raise
        sys.exit(PARTNER_LOST)


def _of_a_lost_partner(error: RuntimeError) -> bool:
    return isinstance(error, distributed.DistError) or any(word in str(error) for word in ("gloo", "Gloo", "NCCL"))


def _ending(code: int) -> str:
    return f"killed by signal {-code}" if code < 0 else "no answer" if code == PARTNER_LOST else f"exit code {code}"
