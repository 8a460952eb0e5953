"""The forms of SRCNN."""

import torch

from cxr.superres.kernels.forms import Forms, Published
from cxr.superres.kernels.srcnn_around_level import AroundLevel
from cxr.superres.kernels.srcnn_columns import Columns


def _choose(device: torch.device, precision: torch.dtype) -> str:
    if precision == torch.bfloat16:
        return "around_level"
    return "columns" if device.type == "cuda" else "published"


FORMS = Forms({"published": Published, "around_level": AroundLevel, "columns": Columns}, _choose, _choose)
