"""Write what else decides results here: `python -m tools.environment`.

That is environment.json: versions of packages, the device that runtime.device means here, and in what `precision: auto`
multiplies. It is meant for git, like dvc.lock. `make setup` writes it where it is absent, and nothing else rewrites it.
"""

from pathlib import Path

from cxr.compute.device import resolved
from cxr.foundation import params
from cxr.foundation.environment import FILE, versions
from cxr.foundation.errors import one_line_errors
from cxr.foundation.files import write_json
from cxr.foundation.runtime import Runtime


def write(workspace: Path) -> dict[str, str]:
    """Write it in `workspace`, by whose params.yaml the device is chosen, and return what it holds."""
    found = {**versions(), **resolved(params.read(workspace / "params.yaml", "runtime", Runtime).device)}
    write_json(workspace / FILE, found)
    return found


if __name__ == "__main__":
    with one_line_errors():
        print(f"{FILE}: {', '.join(f'{name} {value}' for name, value in write(Path()).items())}")
