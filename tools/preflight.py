"""Say before set-up begins whether it can succeed, and what it downloads: `make setup` runs this with the system's Python.

It needs nothing installed, and no newer Python than it asks for in order to say so.
"""

import platform
import sys

OLDEST, NEWEST = (3, 11), (3, 13)
# Of the pinned packages: what pip downloads, and how long that and the installation take on 100 Mbit/s.
CUDA = "about 3 GB, most of it torch with CUDA, 5 to 10 minutes; without an NVIDIA GPU see TORCH_INDEX in README.md"
SMALL = "about 0.6 GB, 2 to 4 minutes"
UNKNOWN = "about 0.4 GB, and torch from the index that TORCH_INDEX names"


def fault(version: "tuple[int, int]", system: str, machine: str) -> str:
    """Return why the pinned packages cannot be installed for this Python and platform; empty when they can."""
    if version < OLDEST or version > NEWEST:
        why = "the pinned packages need 3.11" if version < OLDEST else "pyjpegls 1.5.1 has no wheel for it"
        return f"Python {version[0]}.{version[1]}: {why}; name another, as in make setup PYTHON=python3.13"
    if system == "Darwin" and machine != "arm64":
        return "macOS on Intel: torch 2.13 has no wheel for it; use Apple silicon or Linux"
    if system not in {"Darwin", "Linux"}:
        return f"{system}: only Linux and macOS on Apple silicon are supported; on Windows use WSL"
    return ""


def main() -> None:
    """Print what set-up is about to do, or end with one line."""
    found = fault(sys.version_info[:2], platform.system(), platform.machine())
    if found:
        sys.exit("error: " + found)
    index = sys.argv[1] if len(sys.argv) > 1 else ""
    if index:
        size = SMALL if index.rstrip("/").endswith("/cpu") else UNKNOWN
    else:
        size = CUDA if platform.system() == "Linux" else SMALL
    print("Setting up .venv, once: downloads " + size, flush=True)


if __name__ == "__main__":
    main()
