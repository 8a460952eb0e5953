"""What else decides a result besides code, data and parameters: `environment.json`, beside dvc.yaml."""

import json
import os
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from cxr.foundation import params
from cxr.foundation.errors import UserError
from cxr.foundation.place import ROOT

FILE = Path("environment.json")
PACKAGES: Mapping[str, tuple[str, ...]] = {
    "PIL": ("pillow",),
    "cv2": ("opencv-python-headless",),
    "matplotlib": ("matplotlib",),
    "numpy": ("numpy",),
    "pydicom": ("pydicom", "pyjpegls", "python-gdcm"),
    "scipy": ("scipy",),
    "sklearn": ("scikit-learn",),
    "torch": ("torch",),
}
"""By module, the packages that decode, compute or draw. pandas, which keeps tables and takes means, is none of them."""
DEVICE, PRECISION = "device", "precision"
UNDER_DVC = "DVC_ROOT"
"""An environment variable that stages have under DVC."""
AGAIN = "run python -m tools.environment, and dvc repro reruns what that decides"
BEFORE = "go back to that, and dvc checkout brings back what this stage had made; or "


def versions(packages: Iterable[str] | None = None) -> dict[str, str]:
    """Return the versions of `packages`, or of all of PACKAGES; of one that is not installed, "none"."""
    wanted = sorted(name for names in PACKAGES.values() for name in names) if packages is None else packages
    return {name: _version(name) for name in wanted}


def declared(stage: str) -> list[str]:
    """Return the keys of FILE that dvc.yaml has `stage` depend on."""
    entries = params.load(ROOT / "dvc.yaml")["stages"][stage].get("params", [])
    return [key for entry in entries if isinstance(entry, dict) for key in entry.get(FILE.as_posix(), [])]


def expect(stage: str, resolved: Mapping[str, str] | None = None) -> None:
    """Raise UserError unless FILE tells of `stage` what is so here.

    Else DVC would record a result as that of another environment. `resolved` has DEVICE and PRECISION, where they count.
    """
    path, keys = ROOT / FILE, declared(stage)
    if not path.is_file():
        if UNDER_DVC in os.environ:
            raise UserError(f"{FILE} is missing; run python -m tools.environment")
        return  # by hand nothing is recorded
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{FILE} is no JSON ({error}); {AGAIN}") from None
    for key in keys:
        if not isinstance(told, dict) or not isinstance(told.get(key), str):
            raise UserError(f"{FILE} does not tell {key}; {AGAIN}")
    here = {**versions(key for key in keys if key not in (DEVICE, PRECISION)), **(resolved or {})}
    for key in keys:
        if here[key] != told[key]:
            raise UserError(f"{FILE} has {key} {told[key]}, but here it is {here[key]}; {BEFORE}{AGAIN}")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
