"""Kill training at random moments, and see it end with the very bytes of an undisturbed run: `make chaos`.

    python -m tests.support.chaos [--seed N] [--trial WAY NUMBER] [--demo]

A tiny run of the pipeline is killed 20 times in each way (the trainer, dvc, or both), and the demo's training once in each,
after which it is not evaluated again: that the same weights lead to the same metrics is what the tiny runs show.
`--trial` with the seed that was printed repeats one of the 60.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import NamedTuple

import psutil
from ruamel.yaml import YAML

from tests.support.tiny import TINY, ended, write_params
from tools import environment
from tools.demo import copy_project

ROOT = Path(__file__).parents[2]
WAYS = ("trainer", "dvc", "both")
TIMES = 20
STAGES = ("train_srcnn", "train_vdsr", "train_edsr")
LATEST = 0.9  # share of its undisturbed time after which a trainer is killed at the latest
STOP_SECONDS = 2  # in which a trainer must have noticed that dvc has gone
LONGER = {"train_srcnn": {"steps": 150, "validations": 5}, "train_vdsr": {"steps": 20, "validations": 5}}
LONGER["train_edsr"] = {"steps": 40, "validations": 5}  # a few seconds each
OFTEN, LESS_OFTEN = ({"runtime": {"checkpoint_minutes": minutes}} for minutes in (0.002, 0.05))


class Undisturbed(NamedTuple):
    """What a run left, by path, and for how many seconds each trainer lived."""

    files: Mapping[str, bytes]
    seconds: Mapping[str, float]


class Workspace:
    """A repository in which the pipeline runs."""

    def __init__(self, folder: Path, threads: int | None) -> None:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        self.folder = folder
        self.environment = {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1"}
        if threads:
            self.environment["OMP_NUM_THREADS"] = str(threads)

    def call(self, *command: str) -> None:
        """Run `command` to its end."""
        done = subprocess.run(command, cwd=self.folder, env=self.environment, text=True, stdout=-1, stderr=-2, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed in {self.folder}:\n{done.stdout}")

    def start(self, stage: str) -> tuple[psutil.Popen, psutil.Process]:
        """Start `dvc repro` of `stage` and return it and the stage's own process, once that is there."""
        dvc = psutil.Popen(
            ["dvc", "repro", stage], cwd=self.folder, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while dvc.poll() is None:
            for child in dvc.children(recursive=True):
                try:
                    if f"stages.{stage}" in child.cmdline():
                        return dvc, child
                except psutil.NoSuchProcess:
                    continue
            time.sleep(0.01)
        raise RuntimeError(f"dvc ended without starting {stage} in {self.folder}")

    def results(self) -> dict[str, bytes]:
        """Return all files that the training stages and evaluate have written, and what DVC has noted."""
        patterns = ("models/*.safetensors", "plots/*.csv", "metrics/*.json", "checkpoints/*.pt")
        found = sorted(path for pattern in patterns for path in self.folder.glob(pattern))
        lock = YAML(typ="safe").load(self.folder / "dvc.lock")  # in which stages stand in the order in which they ran
        files = {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in found}
        return {**files, "dvc.lock": json.dumps(lock, sort_keys=True).encode()}

    def copy(self, folder: Path) -> "Workspace":
        """Return a copy, in `folder`, that is to be run in the same environment."""
        shutil.copytree(self.folder, folder, symlinks=True)
        other = Workspace(folder, None)
        other.environment = self.environment
        return other


def prepared(folder: Path, demo: bool) -> Workspace:
    """Return a new workspace, in which all stages before training have run."""
    folder.mkdir()
    copy_project(ROOT, folder)
    write_params(folder, *([YAML(typ="safe").load(ROOT / "demo.yaml"), LESS_OFTEN] if demo else [TINY, LONGER, OFTEN]))
    environment.write(folder)
    workspace = Workspace(folder, threads=None if demo else 1)
    workspace.call("git", "init", "--quiet")
    workspace.call("dvc", "repro", "split")
    return workspace


def undisturbed(workspace: Workspace, evaluate: bool) -> Undisturbed:
    """Run training, and evaluation if wanted."""
    seconds = {}
    for stage in STAGES:
        dvc, trainer = workspace.start(stage)
        begun = time.monotonic()
        trainer.wait()
        seconds[stage] = time.monotonic() - begun
        dvc.wait()
    if evaluate:
        workspace.call("dvc", "repro", "evaluate")
    return Undisturbed(workspace.results(), seconds)


def kill(workspace: Workspace, way: str, stage: str, after: float) -> bool | None:
    """Start `stage` and kill it in that `way` `after` so many seconds; tell whether a checkpoint was there.

    None when it was done before: on a machine that was busier when it ran undisturbed.
    """
    dvc, trainer = workspace.start(stage)
    time.sleep(after)
    if ended(trainer, 0.05):
        dvc.wait()
        return None
    for process in {"trainer": [trainer], "dvc": [dvc], "both": [dvc, trainer]}[way]:
        process.kill()
    if not ended(trainer, STOP_SECONDS):
        raise RuntimeError(f"the trainer still runs {STOP_SECONDS} s after {way} was killed in {workspace.folder}")
    dvc.wait()
    return any(workspace.folder.glob(f"checkpoints/{stage.removeprefix('train_')}*.pt"))


def killed(ready: Workspace, folder: Path, way: str, stage: str, after: float) -> tuple[Workspace, bool, float]:
    """Kill `stage` in a copy of `ready` in `folder`, sooner than `after` where that is too late.

    Return the copy, whether a checkpoint was there, and after how many seconds it was killed.
    """
    while True:
        workspace = ready.copy(folder)
        kept = kill(workspace, way, stage, after)
        if kept is not None:
            return workspace, kept, after
        shutil.rmtree(folder)
        after /= 2


def tiny_trial(ready: Mapping[str, Workspace], expected: Undisturbed, seed: int, way: str, number: int) -> bool:
    """Kill the tiny run once; say how it ended, and tell whether it ended as undisturbed."""
    dice = random.Random(f"{seed} {way} {number}")
    stage = STAGES[number % len(STAGES)]
    after = dice.uniform(0, LATEST * expected.seconds[stage])
    folder = ready[stage].folder.with_name(f"{way}-{number}")
    workspace, kept, after = killed(ready[stage], folder, way, stage, after)
    workspace.call("dvc", "repro", "evaluate")
    same = workspace.results() == expected.files
    print(
        f"{'same' if same else 'DIFFERENT'}: {way} {number}: {stage} killed after {after:.2f} of "
        f"{expected.seconds[stage]:.2f} s, {'a' if kept else 'no'} checkpoint",
        flush=True,
    )
    if same:
        shutil.rmtree(workspace.folder)
    return same


def demo_trial(folder: Path, seed: int) -> bool:
    """Kill the demo's training once in each way, in one run of it."""
    ready = prepared(folder / "demo", demo=True)
    expected = undisturbed(ready.copy(folder / "demo-undisturbed"), evaluate=False)
    dice = random.Random(f"{seed} demo")
    for way, stage in zip(dice.sample(WAYS, len(WAYS)), STAGES, strict=True):
        after = dice.uniform(0, LATEST * expected.seconds[stage])
        ready, kept, after = killed(ready, folder / f"demo-{stage}", way, stage, after)
        print(f"demo: {way}: {stage} killed after {after:.1f} s, {'a' if kept else 'no'} checkpoint", flush=True)
    ready.call("dvc", "repro", *STAGES)
    same = ready.results() == expected.files
    print(f"{'same' if same else 'DIFFERENT'}: the demo's training, killed once in each way", flush=True)
    return same


def main() -> None:
    """Run all trials; exit with 1 when one ends differently."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--trial", nargs=2, metavar=("WAY", "NUMBER"))
    parser.add_argument("--demo", action="store_true", help="kill the demo's training alone")
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if given.demo:
            sys.exit(not demo_trial(folder, given.seed))
        tiny = prepared(folder / "tiny", demo=False)
        expected = undisturbed(tiny.copy(folder / "undisturbed"), evaluate=True)
        ready = {}
        for stage in STAGES:  # what a trial does not kill is done before
            ready[stage] = tiny.copy(folder / f"without-{stage}")
            ready[stage].call("dvc", "repro", *(other for other in STAGES if other != stage))
        trials = [(given.trial[0], int(given.trial[1]))] if given.trial else list(product(WAYS, range(TIMES)))
        with ThreadPoolExecutor(len(os.sched_getaffinity(0)) + 1) as pool:  # since starting dvc is not all computing
            outcomes = list(pool.map(lambda trial: tiny_trial(ready, expected, given.seed, *trial), trials))
        print(f"{sum(outcomes)} of {len(outcomes)} killed runs ended with the bytes of the undisturbed one", flush=True)
        if not given.trial:
            outcomes.append(demo_trial(folder, given.seed))
    sys.exit(not all(outcomes))


if __name__ == "__main__":
    main()
