"""Whether an image looks the same through a de-identified header as through its own."""

import numpy as np
from pydicom import Dataset

from cxr.formats.decode import Unusable
from cxr.formats.dicom.display import display
from cxr.formats.dicom.radiograph import Radiograph
from cxr.formats.dicom.stored import padding

MOST = 0.3 / 255
"""The mean difference of the levels that are seen, 0 to 1, that nobody sees."""


def refuse_other_look(radiograph: Radiograph, header: Dataset) -> None:
    """Raise Unusable when the pixels of `radiograph` look otherwise through `header`, which was made of its own.

    So where what shows the picture is written in a way that cannot be kept.
    """
    unseen = radiograph.padding
    seen = radiograph.stored[~unseen] if unseen.any() else radiograph.stored
    ends = (int(seen.min()), int(seen.max())) if seen.size else (0, 0)
    before, after = (display(data, ends, None) for data in (radiograph.data, header))
    place = slice(ends[0] - before.least, ends[1] - before.least + 1)
    same = np.abs(before.curve[place] - after.curve[place]).mean() <= MOST
    if not same or not np.array_equal(unseen, padding(header, radiograph.stored)):
        raise Unusable(
            "damaged", "its window, lookup tables or padding are written so that a de-identified header would show it otherwise"
        )
