"""Write a card for each bundled network: `python -m tools.cards`.

A card is docs/cards/NETWORK.md, in the form that Hugging Face uses: a head of YAML, then prose. Its figures are from the file
of the network, from benchmarks/results/conditions.csv or clean_networks.csv, from pretrained/limits.csv, and from
pretrained/training_data.yaml, which says by the SHA-256 of the training pixels whose radiographs they are.
`python -m tools.cards WORKSPACE` prints an entry for that file.
No detector is bundled; docs/cards/detector.md is of one whose figures benchmarks/results/ keeps (`tools.detector_card`).
"""

import csv
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cxr.compute import modelfile
from cxr.dataset import packed
from cxr.foundation.errors import UserError, one_line_errors
from cxr.foundation.files import write_text
from cxr.foundation.params import load
from cxr.foundation.place import ROOT
from cxr.superres.limits import FILE
from cxr.superres.methods import NETWORKS, TITLES
from cxr.superres.model import BUILDERS, Model, load_model
from cxr.superres.settings import CLEAN, NATIVE
from stages.evaluate import PIXELS, SPLIT, TABLE
from tools.detector_card import CARDS, bundled, people
from tools.limits import CONDITIONS as MEASURED
from tools.results import gain

DATA = ROOT / "pretrained/training_data.yaml"
CONDITIONS = [ROOT / "benchmarks/results" / name for name in MEASURED]
LIMITS = ROOT / "pretrained" / FILE
BLURRED = "blur1"

PAPERS = {
    "srcnn": 'Dong, Loy, He and Tang, "Image Super-Resolution Using Deep Convolutional Networks", TPAMI 38(2), 2016',
    "vdsr": 'Kim, Lee and Lee, "Accurate Image Super-Resolution Using Very Deep Convolutional Networks", CVPR 2016',
    "edsr": 'Lim, Son, Kim, Nah and Lee, "Enhanced Deep Residual Networks for Single Image Super-Resolution", CVPRW 2017',
}


def rows_of(path: Path, model: Model) -> list[dict[str, str]]:
    """Return the rows of the CSV `path` that are of `model`; none where there is no such file."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["digest"] == model.digest]


def card(model: Model) -> str:
    """Return the card of `model`. Raises UserError when nothing is known of the pixels that it learnt from."""
    described, title = model.described, TITLES[model.name]
    known = load(DATA)
    pixels = described["data"]["train"]
    if pixels not in known:
        raise UserError(f"{DATA}: nothing of the pixels {pixels[:12]} of {title}; python -m tools.cards WORKSPACE prints that")
    data, settings = known[pixels], described["settings"]
    sizes = (
        [tensor.numel() for part in modelfile.read(model.path)[0].values() for tensor in part.values()] if model.path else []
    )
    lines = [
        *("---", "license: apache-2.0", "library_name: chest-xray-superres", "pipeline_tag: image-to-image"),
        *("tags: [super-resolution, chest-x-ray, radiography, research]", "metrics: [psnr, ssim]", "---", ""),
        *(f"# {title}", ""),
        f"{title} enlarges grey chest radiographs {_scales(described['scales'])} times.",
        f"It has {sum(sizes):,} numbers for all scales, and is built after {PAPERS[model.name]}.",
        *(f"The file is `pretrained/{model.name}.safetensors`, and its SHA-256 begins with `{model.digest}`.", ""),
        *("## Intended use", ""),
        "Research on the enlargement of chest radiographs, and on what that does for readers and programs.",
        "**It is not a medical device**: an enhanced image shows what is likely, not what is there.",
        "It is not for the care of a patient, nor for pictures of other parts of the body.",
        *("", "## Whose radiographs it learnt from", "", *(f"- {line}" for line in data["told"]), ""),
        *("## How it was trained", ""),
        f"- {_steps(model, settings['steps'])} of {settings['batch']} crops of {settings['patch']}x{settings['patch']} pixels",
        f"- {settings['optimizer'].upper()} at {settings['learning_rate']:g}, {settings['schedule']}, seed {settings['seed']}",
        f"- {_learnt(described)}",
        f"- in {described['precision']} on {described['device']}, with torch {described['made_with']['torch']}",
        *("", "## How good it is", "", *_figures([row for path in CONDITIONS for row in rows_of(path, model)]), ""),
        *("## Where it does harm", "", *_harm(rows_of(LIMITS, model), bool(described.get("told")))),
    ]
    return "\n".join(lines) + "\n"


def _scales(scales: Iterable[int]) -> str:
    *first, last = map(str, scales)
    return f"{', '.join(first)} or {last}" if first else last


def _steps(model: Model, steps: int) -> str:
    further = " for the first scale, and a third as many for each further one," if BUILDERS[model.name].per_scale else ""
    return f"{steps:,} steps{further}"


def _learnt(described: Mapping[str, Any]) -> str:
    ranges = described.get("ranges")
    if not ranges:
        noise = [level for level in described["noise"] if level]
        return (
            f"from copies with noise of {', '.join(f'{level:g}' for level in noise)} grey levels"
            if noise
            else "from clean copies"
        )
    quanta, jpeg = ("{:,.0f} to {:,.0f}".format(*ranges[name]) for name in ("quanta", "jpeg"))
    way = "told what the estimator would find of noise and JPEG in each copy" if described.get("told") else "blind"
    return (
        f"{way}: {ranges['clean']:.0%} of the copies are only reduced; others have, each by chance, "
        f"blur up to {ranges['blur']:g} pixels, noise of up to {ranges['noise']:g} grey levels or of {quanta} quanta at white, "
        f"correlated by a Gaussian of up to {ranges['grain']:g} pixels, and JPEG of quality {jpeg}"
    )


def _figures(rows: Iterable[Mapping[str, str]]) -> list[str]:
    rows = list(rows)
    if not rows:
        return ["Not measured by condition; see `docs/results.md`."]
    scales = sorted({int(row["scale"]) for row in rows})
    by = {(row["condition"], int(row["scale"])): row for row in rows}
    clean = next(row for row in rows if row["condition"] == CLEAN)
    head = [
        f"PSNR in dB over bicubic interpolation on {clean['images']} test images of {clean['patients']} patients, by condition "
        f"(`params.yaml`){_of_native(rows)}.",
        "It is at full strength, which `cxr enhance` cuts where it does harm (below).",
        "In brackets: 95% intervals, by patient; then the share of images that are worse by more than 0.05 dB.",
        "",
        f"| condition | {' | '.join(f'x{scale}' for scale in scales)} |",
        "|---" * (1 + len(scales)) + "|",
    ]
    names = dict.fromkeys(row["condition"] for row in rows)
    return [*head, *(f"| {name} | {' | '.join(gain(by.get((name, scale))) for scale in scales)} |" for name in names)]


def _of_native(rows: Iterable[Mapping[str, str]]) -> str:
    native = next((row for row in rows if row["condition"] == NATIVE), None)
    if native is None:
        return ""
    return (
        f"; `native` are windows of 1,024 pixels from {native['images']} test images of {native['patients']} patients, "
        "not reduced before"
    )


def _harm(rows: Iterable[Mapping[str, str]], told_noise: bool) -> list[str]:
    rows = list(rows)
    if not rows:
        return ["What it does to small findings was not measured."]
    harmed = [row for row in rows if float(row["cap"]) < 1]
    told, unknown = "On phantom twins, with and without findings of 1 to 12 pixels and 1 to 10 grey levels, and by PSNR", []
    if not any(int(row["findings"]) for row in rows if row["condition"] != NATIVE):
        told, unknown = "By PSNR", ["", "What it does to small findings was not measured on phantom twins."]
    if not harmed:
        return [f"{told}, no harm was found in any condition and scale that was measured.", *unknown]
    lines = [f"{told}, harm was found; there `cxr enhance` uses it less strongly, or not at all:", ""]
    told_each = (f"- x{row['scale']}, {row['condition']}: strength {row['cap']} at most; {row['why']}" for row in harmed)
    blurred = any(row["condition"] == BLURRED for row in rows)
    blur = f"so that `{BLURRED}` always may" if blurred else "and what it does with this network was not measured"
    own = ["It was told their noise; in use it is told of none where that may be a detector's own, as in most of `noise1`."]
    return [
        *lines,
        *told_each,
        "",
        *(own if told_noise else []),
        f"Of several that may apply the least counts. Blur is never told, {blur}.",
        *unknown,
    ]


def entry(workspace: Path) -> str:
    """Return, as YAML, whose radiographs the training pixels of `workspace` are."""
    data = packed.load(workspace / PIXELS, workspace / TABLE, workspace / SPLIT)
    rows = data.rows("train")
    lines = "\n".join(f"    - {line!r}" for line in people(data.table.iloc[rows]))
    return f"{packed.digest(data.images, rows)}:\n  told:\n{lines}"


def main() -> None:
    """Write the cards, or print an entry."""
    if len(sys.argv) > 1:
        print(entry(Path(sys.argv[1])))
        return
    for name in NETWORKS:
        path = ROOT / f"pretrained/{name}.safetensors"
        if path.is_file():
            write_text(CARDS / f"{name}.md", card(load_model(path)))
    write_text(CARDS / "detector.md", bundled())


if __name__ == "__main__":
    with one_line_errors():
        main()
