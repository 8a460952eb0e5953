"""The rule by which the images of error maps are chosen."""

import pandas as pd

from cxr.superres.methods import BICUBIC, LEAD


def choose(per_image: pd.DataFrame, degradation: str, panels: int) -> list[tuple[str, str]]:
    """Return (rule, image id) for the `panels` worst, median and best gains of LEAD over bicubic, in that order.

    `per_image` has a row for each image, model and degradation, with columns image, model, degradation and psnr (dB);
    `degradation` is one of these, such as "x2". The gain is the difference of the two PSNRs in dB; equal gains are ordered by
    image id. The worst are listed from the worst, the best from the best. No image is chosen twice: of fewer than 3 * `panels`
    images each is chosen once, the rules taking turns in the order worst, best, median.
    """
    rows = per_image[per_image["degradation"] == degradation]
    psnr = rows.pivot(index="image", columns="model", values="psnr").sort_index()
    # Where both restore the image without an error, both PSNRs are infinite and their difference is not a number.
    gain = (psnr[LEAD] - psnr[BICUBIC]).fillna(0.0)
    ordered = [str(image) for image in gain.sort_values(kind="stable").index]

    turns = min(3 * panels, len(ordered))
    worst, best, median = ((turns + waiting) // 3 for waiting in (2, 1, 0))
    first = worst + (len(ordered) - turns) // 2
    return [
        *(("worst", image) for image in ordered[:worst]),
        *(("median", image) for image in ordered[first : first + median]),
        *(("best", image) for image in ordered[::-1][:best]),
    ]
