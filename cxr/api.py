"""The public face: load a trained network and enhance radiographs with it.

>>> import numpy as np
>>> from cxr.api import enhance, load_model
>>> model = load_model()
>>> radiograph = np.zeros((30, 20), np.uint16)  # rows, columns; 0 is black and 65,535 white
>>> enhanced = enhance(model, radiograph, scale=2)
>>> enhanced.shape, enhanced.dtype
((60, 40), dtype('uint16'))

Of 12 bits in uint16, `enhance(model, radiograph, bits=12)` takes 4,095 for white; `enhance_file` finds the depth itself.
Of a large one, `enhance_part(model, radiograph, 2, slice(0, 256), slice(0, 256))` makes only that part:
by EDSR in float32 on a CPU to the last bit as in the whole, by others within rounding. Of many parts, give each `arrival`,
what `arrival_of(radiograph)` found of its noise and JPEG; else it is found anew each time.
`enhance_file` is no stronger than what was measured to do no harm to what came in; of an array `limit_of` tells how strong:

>>> allowed = limit_of(model, radiograph)  # black all over, so that nothing can be told
>>> allowed.cap, allowed.why
(0.0, 'whether EDSR may be used cannot be told')

`detect(path, load_detector("detector.safetensors"), evidence)` says what a trained detector sees on a radiograph's file; the
evidence is `Evidence.of(path, detector)` of what the stage detect measured of it. `cxr detect` does that on the command line.
`explain(seen.image, detector)` returns a heat map of each finding; how often such maps point to it, `evidence.pointing` says.

The result is for research, not for diagnosis.
"""

from pathlib import Path

import torch

from cxr.detection import detector
from cxr.detection.detector import Detector
from cxr.detection.instrument import Evidence, Seen, explain
from cxr.detection.instrument import look as detect
from cxr.result import Enhanced
from cxr.service import enhance_file
from cxr.superres.enhance import arrival_of, enhance, enhance_part
from cxr.superres.limits import Limit, limit_of
from cxr.superres.model import Model, load_model
from cxr.superres.told import Told


def load_detector(path: Path | str) -> Detector | None:
    """Return the detector in the file `path`, on the CPU; None where it says that no finding could be learnt.

    Raises UserError when the file is missing, damaged, or of something else.
    """
    return detector.read(Path(path), torch.device("cpu"))


__all__ = [
    "Enhanced",
    "Evidence",
    "Limit",
    "Model",
    "Seen",
    "Told",
    "arrival_of",
    "detect",
    "enhance",
    "enhance_file",
    "enhance_part",
    "explain",
    "limit_of",
    "load_detector",
    "load_model",
]
