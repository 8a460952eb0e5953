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

The result is for research, not for diagnosis.
"""

from cxr.result import Enhanced
from cxr.service import enhance_file
from cxr.superres.enhance import arrival_of, enhance, enhance_part
from cxr.superres.limits import Limit, limit_of
from cxr.superres.model import Model, load_model
from cxr.superres.told import Told

__all__ = [
    "Enhanced",
    "Limit",
    "Model",
    "Told",
    "arrival_of",
    "enhance",
    "enhance_file",
    "enhance_part",
    "limit_of",
    "load_model",
]
