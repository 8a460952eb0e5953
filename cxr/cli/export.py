"""Write a trained network as ONNX, for programs without torch: `cxr export MODEL -o FILE.onnx [--scale N] [--overwrite]`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from cxr.api import load_model
from cxr.foundation.errors import one_line_errors
from cxr.superres import export
from cxr.superres.methods import NETWORKS


def main(arguments: Sequence[str] | None = None, prog: str = "python -m cxr.cli.export") -> None:
    """Write what the command line names."""
    parser = argparse.ArgumentParser(prog=prog, description=(__doc__ or "").partition(":")[0])
    parser.add_argument("model", help=f"{', '.join(NETWORKS)} or a model file")
    parser.add_argument("-o", "--output", required=True, type=Path, help="the file to write")
    parser.add_argument("--scale", type=int, choices=(2, 3, 4), default=2, help="how many times as many rows and columns")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is there already")
    given = parser.parse_args(arguments)
    export.write(given.output, load_model(given.model), given.scale, given.overwrite)


if __name__ == "__main__":
    with one_line_errors():
        main()
