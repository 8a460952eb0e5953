"""Print which stages run again after an edit: `python -m tools.reruns FILE...`."""

import sys
from pathlib import Path

from cxr.foundation.errors import UserError, one_line_errors
from cxr.foundation.params import load
from cxr.foundation.place import ROOT

NOTHING = "nothing: no stage depends on it"


def reruns(path: str) -> tuple[list[str], list[str]]:
    """Return the stages that read `path`, a file of the project, and those that read what these write.

    The latter run only if an output changes. Raises UserError when there is no such file.
    """
    place = Path(path).resolve()
    if not place.is_file() or not place.is_relative_to(ROOT.resolve()):
        raise UserError(f"{path} is no file of this project; name one, such as cxr/measures/quality.py")
    name = place.relative_to(ROOT.resolve()).as_posix()
    stages = load(ROOT / "dvc.yaml")["stages"]
    if name == "params.yaml":
        raise UserError("params.yaml: check reruns, and each stage whose section has changed; dvc status lists them")
    first = [stage for stage, described in stages.items() if name in described["deps"]]
    changed = {output for stage in first for output in _outputs(stages[stage])}
    then = []
    for stage, described in stages.items():  # in their order, each after those that it waits for
        if changed & set(described["deps"]):
            changed |= _outputs(described)
            if stage not in first:
                then.append(stage)
    return first, then


def _outputs(stage: dict[str, list[str | dict[str, object]]]) -> set[str]:
    entries = [entry for kind in ("outs", "metrics", "plots") for entry in stage.get(kind, [])]
    return {name for entry in entries for name in ([entry] if isinstance(entry, str) else entry)}


def main() -> None:
    """Print a line for each file."""
    if len(sys.argv) < 2:
        raise UserError("name a file, such as cxr/measures/quality.py")
    for path in sys.argv[1:]:
        first, then = reruns(path)
        after = f"; then, if an output changes: {' '.join(then)}" if then else ""
        print(f"{path}: {' '.join(first) or NOTHING}{after}")


if __name__ == "__main__":
    with one_line_errors():
        main()
