"""Measure how well a detector tells what is no radiograph like those that it learnt from, by kind of picture.

    python -m benchmarks.unusual WORKSPACE [--photographs FOLDER] [--drr ZIP] -o FILE.csv

WORKSPACE is one in which train_detector has run. Usual are its test radiographs as they are. Unusual are the same inverted,
turned, mirrored and upside down, phantoms, external radiographs, and, where they are given, photographs (PNG and JPEG in
FOLDER) and radiographs that were reconstructed from CT (PNG in ZIP, below `images/`). A row has the area under the ROC curve of
the distance, and the share that is refused at the distance within which 95% of the validation radiographs lie.
"""

import argparse
import io
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from cxr.dataset import packed
from cxr.detection import detector
from cxr.detection.detector import Detector
from cxr.detection.frames import levels
from cxr.foundation.errors import UserError, one_line_errors
from cxr.foundation.files import write_table
from cxr.measures.areas import Design, area
from cxr.measures.intervals import Floats, Patients, outward
from cxr.sources.phantom.scene import draw
from stages.train_detector import MODEL, PIXELS, SPLIT, TABLE

PHANTOMS, PHANTOM_SIZE = 60, 512
RECONSTRUCTED = 120
SUFFIXES = ".png", ".jpg", ".jpeg"
CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "inverted": lambda image: 1 - image,
    "turned left": lambda image: image.rot90(1, (2, 3)),
    "turned right": lambda image: image.rot90(3, (2, 3)),
    "upside down": lambda image: image.rot90(2, (2, 3)),
    "mirrored": lambda image: image.flip(3),
}


def distances(trained: Detector, images: Iterable[Tensor]) -> Floats:
    """Return how far each of `images` is from what is usual to the detector."""
    return np.array([trained.looks(image)[1] for image in tqdm(images, unit="image", disable=None)])


def pictures(folder: Path) -> Iterator[Tensor]:
    """Yield the grey levels of all pictures below `folder`."""
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES):
        with Image.open(path) as picture:
            yield _grey(picture)


def reconstructed(archive: Path) -> Iterator[Tensor]:
    """Yield the first RECONSTRUCTED pictures below `images/` in a zip."""
    with zipfile.ZipFile(archive) as content:
        names = [name for name in sorted(content.namelist()) if "images/" in name and name.endswith(".png")]
        for name in names[:RECONSTRUCTED]:
            with Image.open(io.BytesIO(content.read(name))) as picture:
                yield _grey(picture)


def row(trained: Detector, kind: str, usual: Floats, patients: Patients, unusual: Floats, of: Patients) -> dict[str, object]:
    """Return what the distances say of one kind of picture, `unusual` (N,), of the patients `of` (N,)."""
    labels = np.r_[np.zeros(len(usual), bool), np.ones(len(unusual), bool)]
    value, low, high = outward(area(np.r_[usual, unusual], Design(labels, np.r_[patients, of])), 3)
    refused = round(float((unusual > trained.usual.farthest).mean()), 3)
    return {"kind": kind, "images": len(unusual), "auc": value, "low": low, "high": high, "refused": refused}


def measured(workspace: Path, photographs: Path | None, drr: Path | None) -> list[dict[str, object]]:
    """Return a row for each kind of picture. Raises UserError when there is no detector, or no picture."""
    trained = detector.read(workspace / MODEL, torch.device("cpu"))
    if trained is None:
        raise UserError(f"{workspace / MODEL} holds no network, since no finding could be learnt")
    data = packed.load(*(workspace / name for name in (PIXELS, TABLE, SPLIT)))
    patients = data.table["patient"].to_numpy(str)
    test, external = data.rows("test"), data.rows("external")
    images = [levels(data.images[each]) for each in test]
    usual = distances(trained, images)
    kinds = [("as they are", usual, patients[test])]
    kinds += [(name, distances(trained, map(change, images)), patients[test]) for name, change in CHANGES.items()]
    if len(external):
        kinds.append(("external", distances(trained, (levels(data.images[each]) for each in external)), patients[external]))
    drawn = (levels(packed.Frame(draw(1, number, PHANTOM_SIZE, 8).pixels)) for number in range(PHANTOMS))
    others: dict[str, Iterable[Tensor]] = {"phantoms": drawn}
    others |= {"photographs": pictures(photographs)} if photographs else {}
    others |= {"reconstructed from CT": reconstructed(drr)} if drr else {}
    for name, each in others.items():
        found = distances(trained, each)
        if not len(found):
            raise UserError(f"there is no picture for {name}; name another folder or zip")
        kinds.append((name, found, np.array([f"{name} {number}" for number in range(len(found))])))
    return [row(trained, kind, usual, patients[test], found, of) for kind, found, of in kinds]


def _grey(picture: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(picture.convert("L"), np.float32) / 255)[None, None]


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--photographs", type=Path)
    parser.add_argument("--drr", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    rows = measured(given.workspace, given.photographs, given.drr)
    for each in rows:
        print(", ".join(f"{name} {value}" for name, value in each.items()))
    write_table(given.output, rows)


if __name__ == "__main__":
    with one_line_errors():
        main()
