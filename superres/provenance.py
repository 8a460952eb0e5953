"""What a result was made with."""

import ast
import hashlib
import platform
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("numpy", "opencv-python-headless", "scikit-image", "torch")


def code_of(module: str) -> str:
    """Return the SHA-256 (hex) of the source of `module`, a stage, and of all that it imports of this project."""
    digest = hashlib.sha256()
    waiting, files = [module], set()
    while waiting:
        path = Path(*waiting.pop().split(".")).with_suffix(".py")
        if path in files or path.parts[0] not in {"stages", "superres"} or not (ROOT / path).is_file():
            continue
        files.add(path)
        for node in ast.walk(ast.parse((ROOT / path).read_bytes())):
            if isinstance(node, ast.Import):
                waiting += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                waiting += [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
    for path in sorted(files):
        digest.update(f"{path.as_posix()} {hashlib.sha256((ROOT / path).read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def made_with(module: str) -> dict[str, str]:
    """Return the `code_of` a stage, and the versions of Python and of what computes."""
    return {"code": code_of(module), "python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
