"""Train on the natural images of the papers, evaluate on Set5, and print ours beside the published table.

    python -m benchmarks.natural_images IMAGES -o FOLDER [--train T91+BSD200] [--srcnn-steps N] [--vdsr-steps N] [--batch N]
                                        [--keep FILE.csv]

IMAGES holds Set5/image_SRF_{2,3,4}/*_{HR,LR}.png (the low-resolution copies made by MATLAB's imresize), T91/*.png and
BSD200/*.jpg. The networks are trained by the pipeline's own stages, with the settings of params.yaml but for steps and
batch, in FOLDER, where an interrupted run goes on: a full budget on a CUDA GPU, a short one on a CPU. Luma as the papers have
it: BT.601, 16 to 235, rounded to 8 bits. FILE.csv is written anew with what is printed, by COLUMNS.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from PIL import Image
from ruamel.yaml import YAML
from skimage.color import rgb2ycbcr
from torch import Tensor

from cxr.compute.device import choose_device
from cxr.dataset.packed import TEXTS
from cxr.foundation import params
from cxr.foundation.errors import UserError, one_line_errors
from cxr.foundation.files import write_table
from cxr.foundation.runtime import Runtime
from cxr.measures.quality import psnr, ssim
from cxr.superres.degradation.enlargement import enlarge
from cxr.superres.degradation.levels import to_levels
from cxr.superres.degradation.reduction import crop_to_multiple, low_resolution
from cxr.superres.evaluation.restore import Restorers
from cxr.superres.settings import Degradation
from stages import train_srcnn, train_vdsr

SCALES: Final = (2, 3, 4)
WINDOW, STRIDE = 120, 36  # of the windows that images are cut into: room for a crop with its margin, in small images, too
HELD_OUT = 10  # every tenth training image validates
MATLAB_BORDER = 4  # low-resolution pixels at the border, where MATLAB mirrors the image and torch repeats its edge

# Steps of SRCNN's first network and of VDSR, and crops a step, by device. The short budget is minutes on two cores, and
# shows that the code learns; the published figures are for the full one.
BUDGETS = {"cuda": ("full", 15_000, 40_000, 64), "cpu": ("short", 2_000, 1_200, 8)}
CHANGED = "changed"  # what a budget is called that is none of these

# PSNR (dB) and SSIM on Set5: Kim et al., CVPR 2016, table 2. SRCNN is the 9-5-5 that learnt from ImageNet.
PUBLISHED = {
    "bicubic": {2: (33.66, 0.9299), 3: (30.39, 0.8682), 4: (28.42, 0.8104)},
    "srcnn": {2: (36.66, 0.9542), 3: (32.75, 0.9090), 4: (30.48, 0.8628)},
    "vdsr": {2: (37.53, 0.9587), 3: (33.66, 0.9213), 4: (31.35, 0.8838)},
}

COLUMNS = "network", "scale", "budget", "psnr", "ssim", "published_psnr", "published_ssim", "largest", "equal"
"""Bicubic has no budget; it alone has, of the images that it enlarges, the largest difference from MATLAB's in grey levels, and
the share of values that are equal."""


class Agreement(NamedTuple):
    """How our low-resolution images compare with MATLAB's."""

    largest: int
    """Difference, in grey levels."""
    equal: float
    """The share of values that are the same."""


class Quality(NamedTuple):
    """The means over Set5."""

    psnr: float
    ssim: float


Qualities = Mapping[tuple[str, int], Quality]
"""By network and scale."""


def luma(path: Path) -> npt.NDArray[np.uint8]:
    """Return the BT.601 luma of an image file, as MATLAB's rgb2ycbcr computes it: uint8 (H, W), 16 to 235."""
    levels: npt.NDArray[np.uint8] = np.rint(rgb2ycbcr(rgb(path))[..., 0]).astype(np.uint8)
    return levels


def rgb(path: Path) -> npt.NDArray[np.uint8]:
    """Return an image file as uint8 (H, W, 3)."""
    pixels: npt.NDArray[np.uint8] = np.asarray(Image.open(path).convert("RGB"))
    return pixels


def set5(images: Path, scale: int) -> list[tuple[Path, Path]]:
    """Return the files (ground truth, low resolution) of Set5. Raises UserError when there are none."""
    folder = images / "Set5" / f"image_SRF_{scale}"
    pairs = [(path, path.with_name(path.name.replace("_HR", "_LR"))) for path in sorted(folder.glob("*_HR.png"))]
    if not pairs or not all(low.is_file() for _, low in pairs):
        raise UserError(f"{folder} does not hold pairs *_HR.png and *_LR.png")
    return pairs


def windows(images: Path, sets: str) -> tuple[npt.NDArray[np.uint8], pd.DataFrame]:
    """Return overlapping windows of the luma of the training images, uint8 (N, WINDOW, WINDOW), and their table.

    Raises UserError when a set is missing.
    """
    windows, rows = [], []
    for name in sets.split("+"):
        files = sorted(path for path in (images / name).glob("*") if path.suffix in {".png", ".jpg", ".bmp"})
        if not files:
            raise UserError(f"{images / name} holds no images")
        for number, path in enumerate(files):
            whole = luma(path)
            height, width = whole.shape
            for top in range(0, height - WINDOW + 1, STRIDE):
                for left in range(0, width - WINDOW + 1, STRIDE):
                    windows.append(whole[top : top + WINDOW, left : left + WINDOW])
                    part = "val" if number % HELD_OUT == 0 else "train"
                    rows.append(dict.fromkeys(TEXTS, "") | {"id": f"{name}/{path.stem} {top} {left}", "split": part})
    table = pd.DataFrame(rows).assign(begin=np.arange(len(rows)) * WINDOW**2, rows=WINDOW, columns=WINDOW, bits=8)
    return np.stack(windows), table


def budget(arguments: argparse.Namespace, device: torch.device) -> tuple[str, int, int, int]:
    """Return the steps of SRCNN and of VDSR and the crops a step that are asked for on `device`, after their budget's name."""
    _, *usual = BUDGETS[device.type]
    given = arguments.srcnn_steps, arguments.vdsr_steps, arguments.batch
    srcnn_steps, vdsr_steps, batch = (number or other for number, other in zip(given, usual, strict=True))
    name = next((name for name, *each in BUDGETS.values() if each == [srcnn_steps, vdsr_steps, batch]), CHANGED)
    return name, srcnn_steps, vdsr_steps, batch


def prepare(folder: Path, images: Path, arguments: argparse.Namespace, device: torch.device) -> None:
    """Lay out `folder` as a workspace after its stage split: images, tables and parameters."""
    name, srcnn_steps, vdsr_steps, batch = budget(arguments, device)
    print(f"\nTraining with the {name} budget for a {device.type.upper()}", flush=True)
    pixels, table = windows(images, arguments.train)
    (folder / "data").mkdir(parents=True, exist_ok=True)
    np.save(folder / train_srcnn.PIXELS, pixels.ravel())
    write_table(folder / train_srcnn.TABLE, table.drop(columns="split"))
    write_table(folder / train_srcnn.SPLIT, table[["id", "split"]])
    yaml = YAML()
    document = yaml.load(train_srcnn.PARAMS)
    for section, number in {"train_srcnn": srcnn_steps, "train_vdsr": vdsr_steps}.items():
        document[section] |= {"steps": number, "batch": batch}
        print(f"{section}: {document[section]['steps']} steps of {document[section]['batch']} crops", flush=True)
    with (folder / train_srcnn.PARAMS).open("w") as file:
        yaml.dump(document, file)
    print(f"{arguments.train}: {len(pixels)} windows of {WINDOW} pixels, {sum(table['split'] == 'val')} of them to validate on")


def compare_degradation(images: Path) -> dict[int, Agreement]:
    """Print and return, by scale, how our low-resolution copies of Set5 compare with MATLAB's, in all three channels."""
    found = {}
    print("\nOur low-resolution images against MATLAB's, more than 4 pixels inside the border:")
    for scale in SCALES:
        differences = []
        for truth, low in set5(images, scale):
            channels = torch.from_numpy(rgb(truth).transpose(2, 0, 1).copy())[:, None].float() / 255
            ours = to_levels(low_resolution(crop_to_multiple(channels, scale), scale)).int()
            theirs = torch.from_numpy(rgb(low).transpose(2, 0, 1).copy())[:, None].int()
            inner = (..., slice(MATLAB_BORDER, -MATLAB_BORDER), slice(MATLAB_BORDER, -MATLAB_BORDER))
            differences.append((ours - theirs)[inner].abs().flatten())
        all_of_them = torch.cat(differences)
        found[scale] = Agreement(int(all_of_them.max()), (all_of_them == 0).double().mean().item())
        print(f"x{scale}: largest difference {found[scale].largest}, equal {found[scale].equal:.1%}")
    return found


def evaluate(
    images: Path, restorers: Restorers | None, device: torch.device, trained_with: str
) -> dict[tuple[str, int], Quality]:
    """Print and return PSNR and SSIM on Set5 from MATLAB's low-resolution images; the published ones are printed beside."""
    means = {}
    trained = f"{trained_with} budget, " if restorers else ""
    print(f"\nSet5, {trained}luma, `scale` pixels shaved: PSNR/dB and SSIM, ours and published (difference)")
    for scale in SCALES:
        found: dict[str, list[tuple[float, float]]] = {}
        for truth_file, low_file in set5(images, scale):
            truth = crop_to_multiple(_batch(luma(truth_file), device), scale)
            low = _batch(luma(low_file), device).float() / 255
            bicubic = enlarge(low, scale)
            restored = {"bicubic": bicubic, **(restorers.enhanced(low, bicubic, scale) if restorers else {})}
            for model, image in restored.items():
                measured = (measure(to_levels(image), truth, scale).item() for measure in (psnr, ssim))
                found.setdefault(model, []).append((next(measured), next(measured)))
        for model, each in found.items():
            ours, similar = np.mean(each, axis=0).tolist()
            published, published_ssim = PUBLISHED[model][scale]
            means[model, scale] = Quality(ours, similar)
            print(
                f"x{scale} {model:8} {ours:.2f} {similar:.4f}   {published:.2f} {published_ssim:.4f}"
                f"   ({ours - published:+.2f} {similar - published_ssim:+.4f})"
            )
    return means


def rows(found: Qualities, agreements: Mapping[int, Agreement], trained_with: str) -> list[dict[str, object]]:
    """Return what was found by COLUMNS, in the order of PUBLISHED."""
    made = []
    for network, by_scale in PUBLISHED.items():
        for scale, (published, published_ssim) in by_scale.items():
            if (network, scale) in found:
                ours = found[network, scale]
                of_bicubic = network == "bicubic"
                agreement = (agreements[scale].largest, f"{agreements[scale].equal:.5f}") if of_bicubic else ("", "")
                named = network, scale, "" if of_bicubic else trained_with
                figures = f"{ours.psnr:.4f}", f"{ours.ssim:.5f}", f"{published:.2f}", f"{published_ssim:.4f}"
                made.append(dict(zip(COLUMNS, (*named, *figures, *agreement), strict=True)))
    return made


def _batch(levels: npt.NDArray[np.uint8], device: torch.device) -> Tensor:
    return torch.from_numpy(levels)[None, None].to(device)


def main() -> None:
    """Compare the degradation, train unless told not to, and evaluate."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("images", type=Path, help="folder with Set5, T91 and BSD200")
    parser.add_argument(
        "-o", dest="folder", type=Path, help="folder for windows, checkpoints and models; without it only bicubic"
    )
    parser.add_argument("--train", default="T91+BSD200", choices=["T91", "T91+BSD200"])
    parser.add_argument("--srcnn-steps", type=int, help="instead of the budget's")
    parser.add_argument("--vdsr-steps", type=int)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--keep", type=Path, metavar="FILE.csv", help="a CSV of what is printed, written anew")
    arguments = parser.parse_args()
    agreements = compare_degradation(arguments.images)
    device = choose_device(params.read(train_srcnn.PARAMS, "runtime", Runtime).device)
    restorers = None
    if arguments.folder:
        prepare(arguments.folder, arguments.images, arguments, device)
        train_srcnn.run(arguments.folder)
        train_vdsr.run(arguments.folder)
        degradations = [Degradation(scale) for scale in SCALES]
        restorers = Restorers((arguments.folder / train_vdsr.MODEL).parent, degradations, 0, device, ["srcnn", "vdsr"])
    trained_with, *_ = budget(arguments, device)
    found = evaluate(arguments.images, restorers, device, trained_with)
    if arguments.keep:
        write_table(arguments.keep, rows(found, agreements, trained_with))


if __name__ == "__main__":
    with one_line_errors():
        main()
