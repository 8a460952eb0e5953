"""What a stage's code depends on, read off its imports: an independent reading, by syntax alone."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]


def closure(module: str) -> set[str]:
    """Return the paths below ROOT of the project's files that `module` imports, directly or not, itself included.

    Bare `__init__.py` files, which hold a docstring only, are left out.
    """
    files: set[str] = set()
    waiting = [module]
    while waiting:
        path = _file(waiting.pop())
        if path is None or path in files:
            continue
        files.add(path)
        for node in ast.walk(ast.parse((ROOT / path).read_text())):
            if isinstance(node, ast.Import):
                waiting += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path} imports relatively"
                assert node.module is not None
                waiting += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return files


def _file(module: str) -> str | None:
    path = Path(*module.split(".")).with_suffix(".py")
    return path.as_posix() if module.split(".", maxsplit=1)[0] in {"cxr", "stages"} and (ROOT / path).is_file() else None
