"""Measure the peak memory of each stage on phantoms: `python -m benchmarks.memory FOLDER [--images N]`.

Runs the pipeline's own stages, without DVC, in processes of their own, in the empty FOLDER, with the parameters of params.yaml
but for few training steps, and appends each one's peak to `benchmarks/history.csv`. Linux only.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML

from benchmarks import history
from cxr.foundation.errors import UserError, one_line_errors

PARAMS = Path("params.yaml")
STEPS, EPOCHS = 40, 2
# Of the child as it ends: getrusage would also count what this process held when it started the child.
PEAK = """
import runpy, sys
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
(peak,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(peak, file=sys.stderr)
"""


def peak(stage: str, folder: Path) -> float:
    """Return the most megabytes that `stage` holds at a time while it runs in `folder`, workers not counted.

    Raises UserError when it fails.
    """
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, "-c", PEAK, f"stages.{stage}"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"{stage} failed in {folder}: {done.stderr.strip().splitlines()[-1]}")
    return int(done.stderr.split()[-2]) / 1000  # of kilobytes


def main() -> None:
    """Run every stage, and print and keep its peak."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=200)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    yaml = YAML()
    document = yaml.load(PARAMS)
    document["download"]["source"] = "phantom"
    document["phantom"] |= {"images": arguments.images, "size": document["preprocess"]["size"]}
    for section in ("train_srcnn", "train_vdsr", "train_edsr"):
        document[section] |= {"steps": STEPS, "validations": 1}
    document["train_detector"]["epochs"] = EPOCHS
    with (arguments.folder / PARAMS).open("w") as file:
        yaml.dump(document, file)
    figures: list[history.Figure] = []
    for stage in YAML(typ="safe").load(Path("dvc.yaml"))["stages"]:
        figures.append((f"{stage} peak memory", peak(stage, arguments.folder), "MB"))
        print(f"{stage:12}{figures[-1][1]:10,.0f} MB", flush=True)
    history.add(figures, f"python -m benchmarks.memory, {arguments.images} phantoms")


if __name__ == "__main__":
    with one_line_errors():
        main()
