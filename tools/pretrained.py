"""Make the networks that come along of those that the stages have trained.

    python -m tools.pretrained [WORKSPACE [NETWORK...]]

All networks, or those named. Prints the results on the test split, for pretrained/README.md.
"""

import sys
from pathlib import Path

from cxr.compute import modelfile
from cxr.foundation.errors import UserError, one_line_errors
from cxr.superres.evaluation import per_image, report
from cxr.superres.methods import NETWORKS
from cxr.superres.model import BUILDERS

PRETRAINED = Path(__file__).parent.parent / "pretrained"
MOST_BYTES = 1_500_000  # of a file: git keeps every version for ever


def main() -> None:
    """Write the files of the networks named, or of all."""
    workspace = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    for name in sys.argv[2:] or NETWORKS:
        if name not in NETWORKS:
            raise UserError(f"{name} is no network; name some of {', '.join(NETWORKS)}")
        networks, description = modelfile.read(workspace / f"models/{name}.safetensors")
        if BUILDERS[name].bfloat16:
            networks = {key: {part: tensor.half() for part, tensor in net.items()} for key, net in networks.items()}
        target = PRETRAINED / f"{name}.safetensors"
        modelfile.write(target, networks, description)
        if target.stat().st_size > MOST_BYTES:
            raise UserError(f"{target} has {target.stat().st_size:,} bytes, more than {MOST_BYTES:,}; train a smaller network")
    print(report.table(per_image.read(workspace / "plots/per_image.csv")))


if __name__ == "__main__":
    with one_line_errors():
        main()
