"""Running the trial: every setting in turn, each kept when it is done."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from cxr.compute.checkpoint import Checkpoint
from cxr.foundation import environment, params
from cxr.foundation.place import ROOT
from cxr.measures.intervals import Truths
from cxr.measures.observer import Floats, channels, outputs
from cxr.sources.phantom.detector import softened
from cxr.superres.methods import LEAD
from cxr.superres.model import Model
from cxr.trial.analysis import HOTELLING, NETWORK, Cell
from cxr.trial.findings import added
from cxr.trial.observers import Scores, hotelling, network
from cxr.trial.protocol import EDGE, FINDINGS, Protocol, Setting
from cxr.trial.regions import Pixels, Regions, person, regions, taken, whole
from cxr.trial.views import VIEWS, Arrived, joined, models, on_arrival, views

NONE = "none"
DECLARED = Path("trial/dvc.yaml")
"""Where the stage is declared."""


def people_of(protocol: Protocol) -> npt.NDArray[np.float64]:
    """Return the number of the person whom each region shows, (N,)."""
    return np.repeat(np.arange(protocol.people), protocol.regions).astype(float)


def halves(protocol: Protocol) -> Truths:
    """Return which regions are of the first half of the people, by whom observers learn to judge the second, (N,)."""
    return people_of(protocol) < protocol.people // 2


def run(protocol: Protocol, checkpoints: Path) -> list[Cell]:
    """Return what both observers make of every finding at every setting; the small network at the usual setting alone.

    A setting that an interrupted run of the same code, networks, limits and versions has finished is not computed again.
    """
    networks, cells = models(), list[Cell]()
    total = len(list(protocol.settings)) * protocol.people * (1 + len(FINDINGS))
    with tqdm(total=total, unit="person", disable=None) as progress:
        for setting in protocol.settings:
            checkpoint = _kept(protocol, setting, checkpoints)
            if not (found := checkpoint.load()):
                found = _setting(protocol, setting, networks, progress)
                checkpoint.save(found)
            else:
                progress.update(protocol.people * (1 + len(FINDINGS)))
            cells += [_cell(name.split("|"), setting, scores) for name, scores in found.items()]
    return cells


def forget(protocol: Protocol, checkpoints: Path) -> None:
    """Remove what `run` keeps of a trial whose results have been written."""
    for setting in protocol.settings:
        _kept(protocol, setting, checkpoints).remove()


def made_with() -> dict[str, str]:
    """Return the hash of all files that trial/dvc.yaml has the stage depend on, and the versions of what computes."""
    paths = sorted(params.load(ROOT / DECLARED)["stages"]["trial"]["deps"])
    lines = [f"{path} {hashlib.sha256((ROOT / path).read_bytes()).hexdigest()}\n" for path in paths]
    return {"code": hashlib.sha256("".join(lines).encode()).hexdigest(), **environment.versions()}


def _kept(protocol: Protocol, setting: Setting, folder: Path) -> Checkpoint:
    return Checkpoint(folder, "trial", {"protocol": asdict(protocol), "setting": setting, "made_with": made_with()})


def _cell(name: Sequence[str], setting: Setting, scores: Mapping[str, torch.Tensor]) -> Cell:
    observer, finding = name
    return Cell(observer, finding, setting, {view: Scores(*scores[view].double().numpy()) for view in VIEWS})


def _setting(
    protocol: Protocol, setting: Setting, networks: Mapping[str, Model], progress: "tqdm[None]"
) -> dict[str, dict[str, torch.Tensor]]:
    """Return scores (2, N) by view, by observer and finding."""
    people, arrivals = list[Regions](), list[Arrived]()
    for number in range(protocol.people):
        one = person(protocol, number, setting.pixel)
        arrivals.append(on_arrival(whole(one, protocol, setting), protocol.scale, networks[LEAD]))
        people.append(regions(one, protocol))
    side = protocol.side + 2 * EDGE
    adds = {finding: added(finding, protocol.contrasts[finding], side, setting.pixel) for finding in FINDINGS}

    def seen(finding: str) -> dict[str, Pixels]:
        made = []
        for of, arrival in zip(people, arrivals, strict=True):
            made.append(views(taken(of, protocol, setting, finding, adds.get(finding)), protocol, arrival, networks))
            progress.update()
        return joined(made)

    first = halves(protocol)
    absent, found, kept = seen(NONE), dict[str, dict[str, torch.Tensor]](), dict[str, dict[str, Pixels]]()
    for finding in FINDINGS:
        present = seen(finding)
        through = channels(_middle(softened(adds[finding], setting.pixel), protocol))
        found[f"{HOTELLING}|{finding}"] = {
            view: _tensor(_hotelling(absent[view], present[view], through, first)) for view in VIEWS
        }
        if setting == protocol.usual:
            kept[finding] = present
    for view in VIEWS if kept else ():
        scores = network(absent[view], {name: each[view] for name, each in kept.items()}, first, protocol.epochs, protocol.seed)
        for finding, each in scores.items():
            found.setdefault(f"{NETWORK}|{finding}", {})[view] = _tensor(each)
    return found


def _middle(image: Floats, protocol: Protocol) -> Floats:
    edge = (len(image) - protocol.inner) // 2
    return image[edge : len(image) - edge, edge : len(image) - edge]


def _hotelling(absent: Pixels, present: Pixels, through: Floats, first: Truths) -> Scores:
    without, having = (outputs(each.astype(np.float32), through).astype(float) for each in (absent, present))
    return hotelling(without, having, first)


def _tensor(scores: Scores) -> torch.Tensor:
    return torch.from_numpy(np.stack(scores)).float()
