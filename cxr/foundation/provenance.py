"""What a result was made with."""

import hashlib
import platform
from importlib.metadata import version

from cxr.foundation import params
from cxr.foundation.place import ROOT

# What computes: decodes, reduces, splits, trains, measures.
PACKAGES = ("numpy", "opencv-python-headless", "pandas", "pillow", "scikit-learn", "scipy", "torch")


def code_of(stage: str) -> str:
    """Return the SHA-256 (hex) of the code that `stage` runs: of all sources that dvc.yaml has it depend on."""
    paths = sorted(path for path in params.load(ROOT / "dvc.yaml")["stages"][stage]["deps"] if path.endswith(".py"))
    lines = [f"{path} {hashlib.sha256((ROOT / path).read_bytes()).hexdigest()}\n" for path in paths]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def made_with(stage: str) -> dict[str, str]:
    """Return the `code_of` a stage, and the versions of Python and of what computes."""
    return {"code": code_of(stage), "python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
