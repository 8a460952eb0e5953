"""Windows of phantoms' lungs, into which findings are drawn."""

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from benchmarks.twins.findings import SIDE
from cxr.sources.phantom.cohort import subject_of
from cxr.sources.phantom.scene import draw

Pixels = npt.NDArray[np.uint8]

SIZE = 512  # pixels of a phantom's shorter side
MARGIN = 28  # around a window, which its degradation sees; with it a window is a multiple of every scale
DARKEST, BRIGHTEST = 30, 170  # mean levels between which a window is of lung, with ribs and vessels, or next to it
OF_EACH = 16  # windows of a phantom


def windows(count: int, seed: int) -> Pixels:
    """Return `count` windows (count, SIDE + 2 MARGIN, SIDE + 2 MARGIN), with their margins, of phantoms without disease.

    From every phantom OF_EACH, from the middle four fifths of its height and width, each turned by quarters and mirrored anew.
    The first half and the second, by which an observer learns and is judged, share no phantom.
    """
    random = np.random.default_rng((seed, 1))
    side, index = SIDE + 2 * MARGIN, 0
    found: list[Pixels] = []
    half = (count + 1) // 2  # as the observer halves them
    with tqdm(total=count, desc="phantoms", unit="window", disable=None) as progress:
        while len(found) < count:
            if not subject_of(index).kinds:
                pixels, taken = draw(seed, index, SIZE).pixels, 0
                for _ in range(20 * OF_EACH):
                    top, left = (int(random.uniform(0.1, 0.9) * (length - side)) for length in pixels.shape)
                    cut = pixels[top : top + side, left : left + side]
                    if DARKEST < cut.mean() < BRIGHTEST and cut.min() > 2:
                        turned = np.rot90(cut, int(random.integers(4)))
                        found.append(turned[:, ::-1] if random.integers(2) else turned)
                        taken += 1
                        if taken == OF_EACH or len(found) in (half, count):
                            break
                progress.update(taken)
            index += 1
    return np.stack(found[:count]).astype(np.uint8)
