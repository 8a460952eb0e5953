"""Write into dvc.yaml and trial/dvc.yaml what code and which keys of environment.json each stage depends on.

    python -m tools.dependencies

Both are read off its imports.
"""

import ast
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from cxr.foundation import environment
from cxr.foundation.errors import one_line_errors
from cxr.foundation.files import write_text
from cxr.foundation.place import ROOT

DVC, TRIAL = Path("dvc.yaml"), Path("trial/dvc.yaml")
PACKAGES = ("cxr", "stages")
# What a stage imports that computes on a device, or on a device in a precision.
RESOLVED = {
    "cxr.compute.device.choose_device": (environment.DEVICE,),
    "cxr.compute.device.resolved": (environment.DEVICE, environment.PRECISION),
}

FETCHING = ("download",)  # fetches or draws once, and never anew for another version of a package

# A stage's name, and all that it declares.
_STAGE = re.compile(r"^  (?P<stage>\w+):\n(?:    .*\n)+", re.MULTILINE)
# Its keys of environment.json, the last of its params.
_KEYS = re.compile(rf"      - {re.escape(environment.FILE.name)}:\n(?P<keys>(?:          - .*\n)*)")
_PARAMS = re.compile(r"    params:\n(?:      .*\n)+")
# A stage's name, and the list of its deps, a line each.
_DEPS = re.compile(r"^  (?P<stage>\w+):\n(?:    .*\n)*?    deps:\n(?P<deps>(?:      - .*\n)+)", re.MULTILINE)


def closure(module: str, root: Path = ROOT) -> set[str]:
    """Return the paths below `root` of the project's files that `module` imports, directly or not, itself included.

    Imports inside functions count. `__init__.py` files, which hold a docstring only, are left out.
    """
    files: set[str] = set()
    waiting = [module]
    while waiting:
        path = _file(waiting.pop(), root)
        if path is None or path in files:
            continue
        files.add(path)
        for node in ast.walk(ast.parse((root / path).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                waiting += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path} imports relatively"
                assert node.module is not None
                waiting += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return files


def deciding(code: Iterable[str], root: Path = ROOT) -> list[str]:
    """Return the keys of environment.json that decide what the files `code` below `root` give, in order."""
    imported: set[str] = set()
    resolved: set[str] = set()
    for path in code:
        for node in ast.walk(ast.parse((root / path).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add((node.module or "").partition(".")[0])
                if path.startswith("stages/"):
                    resolved |= {key for alias in node.names for key in RESOLVED.get(f"{node.module}.{alias.name}", ())}
    packages = {name for module in imported for name in environment.PACKAGES.get(module, ())}
    return sorted(packages) + sorted(resolved)


def declared(text: str) -> dict[str, list[str]]:
    """Return the code that each stage of the dvc.yaml `text` depends on, as listed there."""
    return {found["stage"]: [path for path in _items(found["deps"]) if path.endswith(".py")] for found in _DEPS.finditer(text)}


def written(text: str, code: Mapping[str, set[str]]) -> str:
    """Return the dvc.yaml `text` with the `code` of each stage in place of what it lists: its script first, data last.

    And with the keys of environment.json that decide what this code gives, after the sections of params.yaml.
    """

    def replaced(found: re.Match[str]) -> str:
        script = f"stages/{found['stage']}.py"
        others = [path for path in _items(found["deps"]) if not path.endswith(".py")]
        paths = [script, *sorted(code[found["stage"]] - {script}), *others]
        return found[0].removesuffix(found["deps"]) + "".join(f"      - {path}\n" for path in paths)

    def keyed(found: re.Match[str]) -> str:
        stage = _KEYS.sub("", found[0])
        keys = deciding(code[found["stage"]]) if found["stage"] in code and found["stage"] not in FETCHING else []
        if not keys:
            return stage
        told = "".join([f"      - {environment.FILE.name}:\n", *(f"          - {key}\n" for key in keys)])
        return _PARAMS.sub(lambda listed: listed[0] + told, stage)

    return _STAGE.sub(keyed, _DEPS.sub(replaced, text))


def _items(lines: str) -> list[str]:
    return [line.strip().removeprefix("- ") for line in lines.splitlines()]


def _file(module: str, root: Path) -> str | None:
    path = Path(*module.split(".")).with_suffix(".py")
    return path.as_posix() if module.partition(".")[0] in PACKAGES and (root / path).is_file() else None


def main() -> None:
    """Rewrite both, and say which stages depend on other code than before."""
    for path in (DVC, TRIAL):
        before = (ROOT / path).read_text(encoding="utf-8")
        after = written(before, {stage: closure(f"stages.{stage}") for stage in declared(before)})
        write_text(ROOT / path, after)
        stages = ({found["stage"]: found[0] for found in _STAGE.finditer(text)} for text in (before, after))
        changed = [stage for (stage, was), now in zip(*(each.items() for each in stages), strict=True) if (stage, was) != now]
        print(f"{path}: {', '.join(changed) or 'nothing'} changed")


if __name__ == "__main__":
    with one_line_errors():
        main()
