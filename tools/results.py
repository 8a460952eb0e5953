"""The tables of results, from the CSVs in benchmarks/results/; `python -m tools.tables` writes them into the pages.

A marker has the name of a table, that of a CSV, and for some tables networks: `<!-- table gains squares srcnn vdsr -->`.
Figures are those of the CSV, rounded for print, the ends of intervals outward; a dash is what was not measured.
"""

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial, wraps
from itertools import pairwise
from pathlib import Path

from benchmarks.history import Row
from cxr.detection.evaluation.report import EXTERNAL, TEST
from cxr.foundation.errors import UserError
from cxr.measures.intervals import Estimate, outward
from cxr.superres.methods import BICUBIC, LOW, NETWORKS, ORIGINAL, TITLES, VIEWS
from tools.kept import ALL, AREA, COUNT, DIFFERENCE, MEAN, OPERATING, RESULTS, SHORTCUT
from tools.markdown import Tables, table

Cells = Mapping[str, str]
"""A row of a CSV, by column."""
Rows = Sequence[Cells]
Lines = list[str]

SCALES = (2, 3, 4)
NAMES = tuple(f"x{scale}" for scale in SCALES)
"""Of the clean degradations."""
UNMEASURED = "-"
HELD = "held", "held_with", "held_without", "single"
"""Columns of what sets hold."""
HEAT = "hit", "randomised", "one place", "chance", "correlation"
"""What is told of heat maps."""
DETECTABLE = "detectable"
"""A row that tells the least difference that would be found."""

WRITTEN_BY = {
    **dict.fromkeys(("gains", "over_bicubic", "findings"), "python -m tools.kept WORKSPACE {name}"),
    **dict.fromkeys(("conditions", "given", "opening"), "python -m benchmarks.conditions WORKSPACE NETWORK... -o {path}"),
    "harm": "python -m benchmarks.twins NETWORK -o {path}",
    "estimates": "python -m benchmarks.estimation WORKSPACE -o {path}",
    **dict.fromkeys(("detection", "views", "view_differences"), "python -m tools.kept WORKSPACE {name} --detection"),
    "sets": "python -m benchmarks.sets WORKSPACE -o {path}",
    "unusual": "python -m benchmarks.unusual WORKSPACE -o {path}",
    **dict.fromkeys(("backbones", "tuning"), "python -m benchmarks.backbones WORKSPACE -o {path}"),
    **dict.fromkeys(("lesions", "lesion_differences"), "python -m benchmarks.lesions ARCHIVE -o {path}"),
    **dict.fromkeys(("own_views", "own_view_differences"), "python -m benchmarks.own_views WORKSPACE... -o {path}"),
    "heat_maps": "python -m benchmarks.heat_maps WORKSPACE -o {path}",
    **dict.fromkeys(("natural", "matlab"), "python -m benchmarks.natural_images IMAGES [-o FOLDER] --keep {path}"),
}
"""By table, what writes its CSV."""


def gains(rows: Rows, model: str, *others: str) -> Lines:
    """Return PSNR and SSIM by scale, what each model gains over bicubic, and over the model before it, where that was tested.

    The last column is of the last of these differences: the share of images that gain, and p.
    """
    models = model, *others
    tested = {row["of"] for row in rows}
    steps = [(better, worse) for worse, better in pairwise(models) if f"{better}-{worse}" in tested]
    pairs = [*((each, BICUBIC) for each in models), *steps]
    kept = _Kept(rows)
    heads = "scale", *map(_title, (BICUBIC, *models)), *(f"{_title(one)} - {_title(other)}" for one, other in pairs), "wins, p"
    lines = []
    for name in NAMES:
        quality = [kept.quality(each, name) for each in (BICUBIC, *models)]
        compared = [kept.difference(pair, name) for pair in pairs]
        lines.append([name, *quality, *map(interval, compared), _tested(compared[-1])])
    return table(heads, lines)


def over_bicubic(rows: Rows, model: str, *others: str) -> Lines:
    """Return the PSNR of bicubic interpolation by scale, and what each model gains over it."""
    models = model, *others
    kept = _Kept(rows)
    lines = []
    for name in NAMES:
        psnr = kept.mean(BICUBIC, name, "psnr")
        over = [interval(kept.difference((each, BICUBIC), name)) for each in models]
        lines.append([name, f"{float(psnr['mean']):.2f}" if psnr else UNMEASURED, *over])
    return table(("scale", *map(_title, (BICUBIC, *models))), lines)


def findings(rows: Rows, model: str, *others: str) -> Lines:
    """Return what each model gains over bicubic on images of each finding, by scale."""
    models = model, *others
    kept = _Kept(rows)
    heads = [f"{_title(each)} {NAMES[0]}" if name == NAMES[0] else name for each in models for name in NAMES]
    groups = [group for group in dict.fromkeys(row["group"] for row in rows) if group != ALL]
    lines = [
        [group, *(interval(kept.difference((each, BICUBIC), name, group)) for each in models for name in NAMES)]
        for group in groups
    ]
    return table(("gain over bicubic", *heads), lines)


def conditions(rows: Rows, network: str) -> Lines:
    """Return what `network` gains in each condition by scale, and its worst gain on a single image of any scale."""
    return _by_condition(rows, network, gain, "worst")


def given(rows: Rows, network: str) -> Lines:
    """Return what `cxr enhance` gives by `network` in each condition by scale: gain, mean strength, and what it refuses."""
    return _by_condition(rows, network, _given, "given_worst")


def _by_condition(rows: Rows, network: str, cell: Callable[[Cells | None], str], worst: str) -> Lines:
    """Return a line for each condition of `network`: a `cell` for each scale, and the least of the column `worst`."""
    of_network = _of(rows, network)
    at = {(row["condition"], row["scale"]): row for row in of_network}
    lines = []
    for condition in dict.fromkeys(row["condition"] for row in of_network):
        found = [at.get((condition, str(scale))) for scale in SCALES]
        least = min((float(row[worst]) for row in found if row and row[worst]), default=None)
        lines.append([condition, *map(cell, found), UNMEASURED if least is None else f"{least:+.2f}"])
    return table(("condition", *NAMES, "worst image"), lines)


def opening(rows: Rows, *others: str, history: Iterable[Row]) -> Lines:
    """Return what each network gains at x2 in each condition but `others`, in parentheses where its sign is open, and s/MP.

    A network that has limits is there twice: as `cxr enhance` gives it, and at full strength.
    """
    names = [name for name in dict.fromkeys(row["condition"] for row in rows) if name not in others]
    networks = list(dict.fromkeys(row["network"] for row in rows))
    processor, seconds = _seconds(history)
    lines = []
    for network in networks:
        at = {row["condition"]: row for row in _of(rows, network) if row["scale"] == str(SCALES[0])}
        limited = any(row.get("given") for row in at.values())
        if limited:
            cells = [_marked(_as_given(at.get(name))) for name in names]
            lines.append([f"{_title(network)}, as given", *cells, seconds.get(network, UNMEASURED)])
        cells = [_marked(at.get(name)) for name in names]
        full = ", in full" if limited else ""
        lines.append([f"{_title(network)}{full}", *cells, seconds.get(network, UNMEASURED)])
    told = f"\ns/MP: seconds for a megapixel of the result at x2, from array to array, on {processor}."
    return [*table(("gain, dB", *names, "s/MP"), lines), *([told] if processor else [])]


def harm(rows: Rows, *networks: str) -> Lines:
    """Return by condition and scale how many findings were measured, seen and harmed, and how much they lose at worst.

    The network, where the CSV has several, is the one in `networks`.
    """
    chosen = networks or tuple(dict.fromkeys(row["network"] for row in rows))
    if len(chosen) > 1:
        raise UserError(f"the table harm is of one network; name one of {', '.join(chosen)} after the CSV")
    found = [row for network in chosen for row in _of(rows, network)]
    lines = []
    for condition, scale in dict.fromkeys((row["condition"], row["scale"]) for row in found):
        of_this = [row for row in found if (row["condition"], row["scale"]) == (condition, scale)]
        seen = [row for row in of_this if row["seen"] == "1"]
        caps = [float(row["cap"]) for row in of_this]
        counts = len(of_this), len(seen), sum(cap < 1 for cap in caps)
        kept = f"{min(float(row['kept']) for row in seen):.3f}" if seen else UNMEASURED
        fall = max((float(row["auc_bicubic"]) - float(row["auc"]) for row in seen), default=None)
        fallen = UNMEASURED if fall is None else f"{round(fall, 3) + 0.0:.3f}"
        lines.append([condition, f"x{scale}", *map(str, counts), f"{min(caps):g}", kept, fallen])
    heads = "findings", "seen by bicubic", "harmed", "least cap", "least contrast kept", "greatest fall of AUC"
    return table(("condition", "scale", *heads), lines)


def estimates(rows: Rows) -> Lines:
    """Return what was found of each truth by scale: median, least and greatest, and the share that is near."""
    at = {(row["what"], row["truth"], row["scale"]): row for row in rows}
    truths = dict.fromkeys((row["what"], row["truth"]) for row in rows)
    lines = [[*truth, *(_estimate(at.get((*truth, str(scale)))) for scale in SCALES)] for truth in truths]
    return table(("what", "truth", *NAMES), lines)


def detection(rows: Rows) -> Lines:
    """Return by finding and group the AUC of the originals, how often the frozen threshold is right, and the best shortcut."""
    if not rows:
        raise ValueError("it has no rows")
    lines = []
    for finding, group in dict.fromkeys((row["finding"], row["group"]) for row in rows):
        found = [row for row in rows if (row["finding"], row["group"]) == (finding, group)]
        count = {row["of"]: f"{float(row['value']):.0f}" for row in found if row["what"] == COUNT}
        original = {row["what"]: row for row in found if row["of"] == ORIGINAL}
        told = [_hundredths(original.get(what)) for what in OPERATING]
        best = max((row for row in found if row["what"] == SHORTCUT), key=lambda row: float(row["value"]), default=None)
        beside = f"{best['of'].replace('_', ' ')} {area(best)}" if best else UNMEASURED
        counts = [f"{count['positives']} of {count['images']}", count["patients"]]
        lines.append([finding, group, *counts, area(original.get(AREA)), *told, beside])
    heads = "with it, of images", "patients", "AUC", "sensitivity", "specificity", "best shortcut, AUC"
    return table(("finding", "group", *heads), lines)


def views(rows: Rows, finding: str) -> Lines:
    """Return the AUC of `finding` on the test images in each view, by scale; the original is the same at each scale."""
    at = {(row["of"], row["degradation"]): row for row in _of_test(rows, AREA, finding)}
    seen = sorted(dict.fromkeys(view for view, _ in at), key=lambda view: view == ORIGINAL)  # which comes last
    lines = [[_view(view), *(area(at.get((view, "" if view == ORIGINAL else name))) for name in NAMES)] for view in seen]
    return table((f"{finding}, seen as", *NAMES), lines)


def view_differences(rows: Rows, finding: str) -> Lines:
    """Return by pair of views and scale what the first has more in AUC of `finding`, with its interval, where it has one."""
    at = {(row["of"], row["degradation"]): row for row in _of_test(rows, DIFFERENCE, finding)}
    lines = []
    for pair in dict.fromkeys(pair for pair, _ in at):
        first, second = map(_view, pair.split("-"))
        lines.append([f"{first} - {second}", *(interval(at.get((pair, name)), "value", 3) for name in NAMES)])
    return table(("difference in AUC", *NAMES), lines)


def sets(rows: Rows) -> Lines:
    """Return by finding and group how often the sets hold the truth, and how often they hold one answer alone."""
    names = {"divided": "divided at random", "test": "test", "external": "another source"}
    lines = [[row["finding"], names[row["group"]], row["images"], *(_share(row[name]) for name in HELD)] for row in rows]
    return table(("finding", "radiographs", "images", "held", "of those with it", "of those without", "one answer"), lines)


def unusual(rows: Rows) -> Lines:
    """Return by kind of picture how well the distance tells it from test radiographs, and how many are refused."""
    told = [row for row in rows if int(row["images"])]
    lines = [[row["kind"], row["images"], area({**row, "value": row["auc"]}), f"{float(row['refused']):.0%}"] for row in told]
    return table(("picture", "images", "AUC", "refused"), lines)


def backbones(rows: Rows) -> Lines:
    """Return by group the least difference of two networks that would be found, their areas, and how far these are apart."""
    told = [row for row in rows if row["what"] != "tuned"]
    at = {(row["what"], row["network"], row["seed"], row["group"]): row for row in told}
    groups = _groups(told)
    lines = []
    for what, network, seed in dict.fromkeys((row["what"], row["network"], row["seed"]) for row in told):
        found = [at.get((what, network, seed, group)) for group in groups]
        pair = network.replace("-", " - ")
        seeds = _seed(seed)
        if what == DETECTABLE:
            lines.append([f"least {pair} found four times in five", *(_least(row) for row in found)])
        elif what == AREA:
            lines.append([f"{network}, {seeds}", *map(area, found)])
        else:
            lines.append([f"{pair}, {seeds}", *(interval(row, "value", 3) for row in found)])
    return table(("AUC", *groups.values()), lines)


def tuning(rows: Rows) -> Lines:
    """Return by network and learning rate the loss on the validation radiographs, with seed 0."""
    at = {(row["network"], row["rate"]): row for row in rows if row["what"] == "tuned"}
    rates = sorted({rate for _, rate in at}, key=float)
    networks = dict.fromkeys(network for network, _ in at)
    lines = [[each, *(f"{float(at[each, rate]['value']):.3f}" for rate in rates)] for each in networks]
    return table(("validation loss at a rate of", *rates), lines)


def lesions(rows: Rows, form: str) -> Lines:
    """Return the AUC of lesions against mirrored lung by view and diameter, of radiographs in one form."""
    found = [row for row in rows if row["what"] == AREA and row["form"] == form]
    at = {(row["of"], row["degradation"], row["diameter"]): row for row in found}
    diameters = _diameters(found)
    views = dict.fromkeys((row["of"], row["degradation"]) for row in found)
    lines = [[f"{_view(of)} {scale}".strip(), *(area(at.get((of, scale, each))) for each in diameters)] for of, scale in views]
    return table(("seen as", *diameters.values()), lines)


def lesion_differences(rows: Rows, form: str) -> Lines:
    """Return by pair of views and diameter the difference in AUC, and the least one that would be found four times in five."""
    found = [row for row in rows if row["what"] == DIFFERENCE and row["form"] == form]
    at = {(row["of"], row["degradation"], row["diameter"]): row for row in found}
    diameters = _diameters(found)
    lines = []
    for pair, scale in dict.fromkeys((row["of"], row["degradation"]) for row in found):
        first, second = map(_view, pair.split("-"))
        cells = (at.get((pair, scale, each)) for each in diameters)
        lines.append([f"{first} - {second}, {scale}", *(f"{interval(row, 'value', 3)}; {_least(row)}" for row in cells)])
    return table(("difference in AUC; least found", *diameters.values()), lines)


def own_views(rows: Rows) -> Lines:
    """Return by view, seed and group the AUC of detectors that learnt from it, and how often their own threshold is right."""
    at = {(row["what"], row["of"], row["seed"], row["group"]): row for row in rows}
    groups = _groups(rows)
    lines = []
    for view, seed in dict.fromkeys((row["of"], row["seed"]) for row in rows if row["what"] == AREA):
        cells = []
        for group in groups:
            right = [_hundredths(at.get((what, view, seed, group))) for what in OPERATING]
            cells += [area(at.get((AREA, view, seed, group))), *right]
        lines.append([f"{_view(view)}, {_seed(seed)}", *cells])
    heads = [head for name in groups.values() for head in (f"{name}: AUC", *OPERATING)]
    return table(("learns from and is judged on", *heads), lines)


def own_view_differences(rows: Rows) -> Lines:
    """Return by pair of views, seed and group the least difference in AUC found four times in five, and what was found."""
    at = {(row["what"], row["of"], row["seed"], row["group"]): row for row in rows}
    groups = _groups(rows)
    lines = []
    for pair, seed in dict.fromkeys((row["of"], row["seed"]) for row in rows if row["what"] == DIFFERENCE):
        first, second = map(_view, pair.split("-"))
        found = [(_least(at.get((DETECTABLE, pair, seed, group))), at.get((DIFFERENCE, pair, seed, group))) for group in groups]
        cells = [cell for least, row in found for cell in (least, interval(row, "value", 3))]
        lines.append([f"{first} - {second}, {_seed(seed)}", *cells])
    heads = [head for name in groups.values() for head in (f"{name}: least found", "difference")]
    return table(("AUC", *heads), lines)


def heat_maps(rows: Rows) -> Lines:
    """Return by finding and group how often heat maps point into a box, and what does so without having learnt."""
    at = {(row["finding"], row["group"], row["of"]): row for row in rows}
    groups = _groups(rows)
    lines = []
    for finding, group in dict.fromkeys((row["finding"], row["group"]) for row in rows):
        found = {of: at[finding, group, of] for of in HEAT}
        shares = [area(found[of]) for of in HEAT[:-1]]
        lines.append([finding, groups[group], found[HEAT[0]]["images"], *shares, _hundredths(found[HEAT[-1]])])
    heads = "detector", "random weights", "one place for all", "chance", "rank correlation with random weights"
    return table(("finding", "radiographs", "patients", *heads), lines)


def _seed(seed: str) -> str:
    """Return which seed, or what of several, a row is of."""
    return f"seed {seed}" if seed.isdigit() else seed


def _groups(rows: Rows) -> dict[str, str]:
    """Return which groups `rows` have, and what tables call them."""
    names = {TEST: "test", EXTERNAL: "another source"}
    return {group: name for group, name in names.items() if group in {row["group"] for row in rows}}


def _diameters(rows: Rows) -> dict[str, str]:
    """Return by diameter how many lesions there are, of how many patients, as the head of a column."""
    return {row["diameter"]: f"{row['diameter']}: {row['lesions']} of {row['patients']}" for row in rows}


def _least(row: Cells | None) -> str:
    """Return the least difference that would be found, which `row` has as its value or beside one."""
    least = row and (row["value"] if row["what"] == DETECTABLE else row["detectable"])
    return f"{float(least):.3f}" if least else UNMEASURED


def natural(rows: Rows) -> Lines:
    """Return PSNR and SSIM on Set5 by scale, ours and the published ones of each network, and the budget of ours."""
    at = {(row["network"], row["budget"], row["scale"]): row for row in rows}
    heads = ["scale"]
    lines = [[name] for name in NAMES]
    for network, budget in dict.fromkeys((network, budget) for network, budget, _ in at):
        heads += [f"{_title(network)}, ours" + (f", {budget} budget" if budget else ""), "published"]
        for line, scale in zip(lines, SCALES, strict=True):
            row = at.get((network, budget, str(scale)))
            ours = _quality(row["psnr"], row["ssim"]) if row else UNMEASURED
            line += [ours, _quality(row["published_psnr"], row["published_ssim"]) if row else UNMEASURED]
    return table(heads, lines)


def matlab(rows: Rows) -> Lines:
    """Return by scale how far our low-resolution images of Set5 are from MATLAB's."""
    at = {row["scale"]: row for row in rows if row["largest"] and row["network"] == BICUBIC}
    found = [(name, at.get(str(scale))) for name, scale in zip(NAMES, SCALES, strict=True)]
    told = ((row["largest"], f"{float(row['equal']):.1%}") if row else (UNMEASURED, UNMEASURED) for _, row in found)
    lines = [[name, *cells] for (name, _), cells in zip(found, told, strict=True)]
    return table(("scale", "largest difference, grey levels", "equal"), lines)


def tables(history: Iterable[Row], folder: Path = RESULTS) -> Tables:
    """Return all tables of results, from the CSVs in `folder`, and from the `history` of speeds."""
    makers: Tables = {
        **{each.__name__: each for each in (gains, over_bicubic, findings, conditions, given, harm, estimates)},
        **{each.__name__: each for each in (detection, views, view_differences, sets, unusual, natural, matlab)},
        **{each.__name__: each for each in (backbones, tuning, lesions, lesion_differences)},
        **{each.__name__: each for each in (own_views, own_view_differences, heat_maps)},
        "opening": partial(opening, history=list(history)),
    }
    return {name: from_file(make, WRITTEN_BY[name], folder) for name, make in makers.items()}


def interval(row: Cells | None, value: str = "mean", decimals: int = 2) -> str:
    """Return the `value` of `row` with its interval, where it has one."""
    if row is None:
        return UNMEASURED
    low, high = (float(row[end]) if row[end] else None for end in ("low", "high"))
    found, *ends = outward(Estimate(float(row[value]), low, high), decimals)
    told = [f"{end:+.{decimals}f}" if round(end, decimals) == end else f"{end:+g}" for end in ends if end is not None]
    return f"{found + 0.0:+.{decimals}f}" + (f" [{', '.join(told)}]" if told else "")


def gain(row: Cells | None) -> str:
    """Return the gain in `row`, of a condition, with its interval, and the share of images that are worse."""
    return f"{interval(row, 'gain')}, {share(row, 'worse')}" if row else UNMEASURED


def share(row: Cells, name: str) -> str:
    """Return the share `name` of the images of `row` in percent, rounded once: as many of them as its three digits mean."""
    images = int(row["images"])
    return f"{round(float(row[name]) * images) / images:.0%}"


def _as_given(row: Cells | None) -> Cells | None:
    """Return of `row`, of a condition, what is given as if it were all that the network can."""
    return row and {**row, "gain": row["given"], "low": row["given_low"], "high": row["given_high"]}


def _given(row: Cells | None) -> str:
    """Return the gain that is given in `row`, of a condition, with its interval, how strong that is, and what is refused."""
    if row is None or not row.get("given"):
        return UNMEASURED
    refused = f", {share(row, 'refused')} refused" if float(row["refused"]) else ""
    return f"{interval(_as_given(row), 'gain')}, {float(row['strength']):.2f}{refused}"


class _Kept:
    """What `tools.kept` kept, by what it is of."""

    def __init__(self, rows: Rows) -> None:
        self.at = {(row["what"], row["of"], row["degradation"], row["metric"], row["group"]): row for row in rows}

    def mean(self, model: str, degradation: str, metric: str) -> Cells | None:
        """Return the row of a mean over all images; None where there is none."""
        return self.at.get((MEAN, model, degradation, metric, ALL))

    def quality(self, model: str, degradation: str) -> str:
        """Return PSNR and SSIM in the mean over all images."""
        psnr, ssim = (self.mean(model, degradation, metric) for metric in ("psnr", "ssim"))
        if psnr is None or ssim is None:
            return UNMEASURED
        return _quality(psnr["mean"], ssim["mean"])

    def difference(self, pair: tuple[str, str], degradation: str, group: str = ALL) -> Cells | None:
        """Return the row of a difference of PSNR; None where there is none."""
        return self.at.get((DIFFERENCE, "-".join(pair), degradation, "psnr", group))


def _of_test(rows: Rows, what: str, finding: str) -> Rows:
    """Return the rows of that kind, of `finding` on the test images. Raises UserError where there are none."""
    found = [row for row in rows if (row["what"], row["group"], row["finding"]) == (what, TEST, finding)]
    if not found:
        raise UserError(f"the CSV has nothing of {finding}: name one of {', '.join(dict.fromkeys(r['finding'] for r in rows))}")
    return found


def _share(value: str) -> str:
    return f"{float(value):.1%}" if value else UNMEASURED


def area(row: Cells | None) -> str:
    """Return an area under the ROC curve with its interval, where it has one."""
    if row is None:
        return UNMEASURED
    ends = f" [{float(row['low']):.3f}, {float(row['high']):.3f}]" if row["low"] else ""
    return f"{float(row['value']):.3f}{ends}"


def _hundredths(row: Cells | None) -> str:
    """Return the value of `row`, where it has one."""
    return f"{float(row['value']):.2f}" if row and row["value"] else UNMEASURED


def _title(name: str) -> str:
    """Return what heads call the method `name`. Raises UserError where there is no such method."""
    if name not in TITLES:
        raise UserError(f"there is no network {name!r}; name one of {', '.join(NETWORKS)}")
    return name if name == BICUBIC else TITLES[name]


def _view(name: str) -> str:
    """Return what tables call the view `name`. Raises UserError where there is none."""
    return VIEWS[name].title if name in (LOW, ORIGINAL) else _title(name)


def _quality(psnr: str, ssim: str) -> str:
    """Return both, rounded for print."""
    similar = f"{float(ssim):.4f}"
    return f"{float(psnr):.2f} / {_bare(similar)}"


def _of(rows: Rows, network: str) -> Rows:
    """Return the rows of `network`. Raises UserError where they are of none, or of several files of that name."""
    _title(network)
    found = [row for row in rows if row["network"] == network]
    digests = dict.fromkeys(row["digest"] for row in found)
    if len(digests) != 1:
        told = f"{network} of {', '.join(digests)}: keep one" if digests else f"no {network}: measure it, or name another"
        raise UserError(f"the CSV has {told}")
    return found


def _tested(row: Cells | None) -> str:
    """Return on which share of images the first of a pair is better, and p."""
    if row is None:
        return UNMEASURED
    return f"{float(row['wins']):.0%}" + (f", {_probability(float(row['p']))}" if row["p"] else "")


def _probability(p: float) -> str:
    return _bare(f"{p:.2g}").replace("e-0", "e-")


def _bare(number: str) -> str:
    """Return a number below 1 without its leading zero."""
    return number.removeprefix("0") if number.startswith("0.") else number


def _marked(row: Cells | None) -> str:
    """Return the gain in `row`, in parentheses where its interval, or that there is none, leaves its sign open."""
    if row is None:
        return UNMEASURED
    told = f"{float(row['gain']):+.2f}"
    return told if row["low"] and float(row["low"]) * float(row["high"]) > 0 else f"({told})"


def _seconds(history: Iterable[Row]) -> tuple[str, dict[str, str]]:
    """Return the processor that networks were last timed on at x2, and the seconds each of them takes for a megapixel."""
    whats = {f"{network} x{SCALES[0]} median": network for network in NETWORKS}
    timed = [row for row in history if row.what in whats]
    processor = timed[-1].processor if timed else ""
    taken = {whats[row.what]: 1 / float(row.value) for row in timed if row.processor == processor}
    return processor, {network: f"{float(f'{seconds:.2g}'):g}" for network, seconds in taken.items()}


def _estimate(row: Cells | None) -> str:
    if row is None:
        return UNMEASURED
    middle, least, greatest = (f"{float(row[name]):.3g}" for name in ("median", "least", "greatest"))
    return f"{middle} ({least} to {greatest}), {share(row, 'near')}"


def from_file(make: Callable[..., Lines], command: str, folder: Path) -> Callable[..., Lines]:
    """Return `make`, of rows, as a function of the name of the CSV in `folder` that has them, which `command` writes."""

    @wraps(make)
    def made(name: str, *words: str) -> Lines:
        path = folder / f"{name}.csv"
        mend = f"{command.format(name=name, path=path)} writes it"
        try:
            with path.open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            return make(rows, *words)
        except FileNotFoundError:
            raise UserError(f"{path} is missing; {mend}") from None
        except (KeyError, ValueError, TypeError) as error:
            raise UserError(f"{path} is no CSV of this table ({error!r}); {mend}") from None
        except UserError as error:
            raise UserError(f"{path}: {error}") from None

    return made
