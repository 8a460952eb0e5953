"""Write into dvc.yaml which code each stage depends on, read off its imports: `python -m tools.dependencies`."""

import ast
import re
from collections.abc import Mapping
from pathlib import Path

from cxr.foundation.errors import one_line_errors
from cxr.foundation.files import write_text
from cxr.foundation.place import ROOT

DVC = Path("dvc.yaml")
PACKAGES = ("cxr", "stages")

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


def declared(text: str) -> dict[str, list[str]]:
    """Return the code that each stage of the dvc.yaml `text` depends on, as listed there."""
    return {found["stage"]: [path for path in _items(found["deps"]) if path.endswith(".py")] for found in _DEPS.finditer(text)}


def written(text: str, code: Mapping[str, set[str]]) -> str:
    """Return the dvc.yaml `text` with the `code` of each stage in place of what it lists: its script first, data last."""

    def replaced(found: re.Match[str]) -> str:
        script = f"stages/{found['stage']}.py"
        others = [path for path in _items(found["deps"]) if not path.endswith(".py")]
        paths = [script, *sorted(code[found["stage"]] - {script}), *others]
        return found[0].removesuffix(found["deps"]) + "".join(f"      - {path}\n" for path in paths)

    return _DEPS.sub(replaced, text)


def _items(lines: str) -> list[str]:
    return [line.strip().removeprefix("- ") for line in lines.splitlines()]


def _file(module: str, root: Path) -> str | None:
    path = Path(*module.split(".")).with_suffix(".py")
    return path.as_posix() if module.partition(".")[0] in PACKAGES and (root / path).is_file() else None


def main() -> None:
    """Rewrite dvc.yaml, and say which stages depend on other code than before."""
    before = (ROOT / DVC).read_text(encoding="utf-8")
    after = written(before, {stage: closure(f"stages.{stage}") for stage in declared(before)})
    write_text(ROOT / DVC, after)
    changed = [stage for stage, code in declared(after).items() if code != declared(before)[stage]]
    print(f"{DVC}: {', '.join(changed) or 'nothing'} changed")


if __name__ == "__main__":
    with one_line_errors():
        main()
