"""The pages have the figures of benchmarks/results, which evaluations and benchmarks left there."""

import csv
import json

import pytest

from benchmarks import conditions as of_conditions
from benchmarks import estimation as of_estimates
from benchmarks import natural_images as of_natural
from benchmarks.history import Row
from benchmarks.twins import __main__ as of_harm
from cxr.foundation.errors import UserError
from tools import kept, results, tables
from tools.markdown import BEGIN, written

KEPT = ",".join(kept.COLUMNS)
CONDITIONS = ",".join(of_conditions.COLUMNS)
HARM = ",".join(of_harm.COLUMNS)
ESTIMATES = ",".join(of_estimates.COLUMNS)
NATURAL = ",".join(of_natural.COLUMNS)


def rows(columns: str, *lines: str) -> list[dict[str, str]]:
    return list(csv.DictReader([columns, *lines]))


EVALUATED = rows(
    KEPT,
    "mean,all,bicubic,x2,psnr,57,43,39.801,39.1,40.3,,",
    "mean,all,bicubic,x2,ssim,57,43,0.9654,0.9615,0.9686,,",
    "mean,all,srcnn,x2,psnr,57,43,42.276,41.2,43,,",
    "mean,all,srcnn,x2,ssim,57,43,0.9736,0.97,0.98,,",
    "mean,all,vdsr,x2,psnr,57,43,42.57,41.2,43,,",
    "mean,all,vdsr,x2,ssim,57,43,1,1,1,,",
    "mean,ILL,vdsr,x2,psnr,7,6,12.3,,,,",
    "difference,all,srcnn-bicubic,x2,psnr,,,2.475,2.324,2.616,1,2.2e-13",
    "difference,all,srcnn-bicubic,x2,ssim,,,0.0082,0.008,0.009,1,1e-13",
    "difference,all,vdsr-bicubic,x2,psnr,,,2.77,2.59,2.93,1,2.2e-13",
    "difference,all,vdsr-srcnn,x2,psnr,,,0.294,0.224,0.355,0.895,6.43e-08",
    "difference,all,srcnn-bicubic,x3,psnr,,,-0.021,-0.044,0.0031,0.088,0.293",
    "difference,all,vdsr-bicubic,x3,psnr,,,0.5,,,1,",
    "difference,all,vdsr-srcnn,x3,psnr,,,0.521,,,1,",
    "difference,all,srcnn-bicubic,x4,psnr,,,0.02,0.0012,0.03,0.5,0.013",
    "difference,WELL,srcnn-bicubic,x2,psnr,,,2.8,2.64,2.93,1,1e-05",
    "difference,ILL,srcnn-bicubic,x2,psnr,,,2.366,,,1,",
    "difference,ILL,vdsr-bicubic,x4,psnr,,,-0.1,-0.2,-0.05,0,",
)


def test_gains_are_over_bicubic_and_over_the_model_before():
    assert results.gains(EVALUATED, "srcnn", "vdsr") == [
        "| scale | bicubic | SRCNN | VDSR | SRCNN - bicubic | VDSR - bicubic | VDSR - SRCNN | wins, p |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        "| x2 | 39.80 / .9654 | 42.28 / .9736 | 42.57 / 1.0000 | +2.48 [+2.32, +2.62] | +2.77 [+2.59, +2.93]"
        " | +0.29 [+0.22, +0.36] | 90%, 6.4e-8 |",
        "| x3 | - | - | - | -0.02 [-0.05, +0.01] | +0.50 | +0.52 | 100% |",
        "| x4 | - | - | - | +0.02 [+0.001, +0.03] | - | - | - |",
    ]


def test_a_pair_that_was_not_compared_has_no_column_and_the_last_one_is_tested():
    heads, _, *lines = results.gains(EVALUATED, "vdsr", "srcnn")
    assert heads == "| scale | bicubic | VDSR | SRCNN | VDSR - bicubic | SRCNN - bicubic | wins, p |"
    assert [line.split(" | ")[-1] for line in lines] == ["100%, 2.2e-13 |", "9%, .29 |", "50%, .013 |"]


def test_gains_over_bicubic_alone_fit_many_models():
    assert results.over_bicubic(EVALUATED, "srcnn", "vdsr", "edsr") == [
        "| scale | bicubic | SRCNN | VDSR | EDSR |",
        "| --- | --- | --- | --- | --- |",
        "| x2 | 39.80 | +2.48 [+2.32, +2.62] | +2.77 [+2.59, +2.93] | - |",
        "| x3 | - | -0.02 [-0.05, +0.01] | +0.50 | - |",
        "| x4 | - | +0.02 [+0.001, +0.03] | - | - |",
    ]


def test_gains_are_told_by_finding():
    assert results.findings(EVALUATED, "srcnn", "vdsr") == [
        "| gain over bicubic | SRCNN x2 | x3 | x4 | VDSR x2 | x3 | x4 |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| ILL | +2.37 | - | - | - | - | -0.10 [-0.20, -0.05] |",
        "| WELL | +2.80 [+2.64, +2.93] | - | - | - | - | - |",
    ]


MEASURED = rows(
    CONDITIONS,
    "edsr,abc,clean,2,57,43,42.031,1.846,1.667,2.044,0.000,0.453,1.5,1.4,1.6,0,0.3,0.75,0",
    "vdsr,def,clean,2,57,43,42.031,1.2,,,0,0.4,,,,,,,",
    "edsr,abc,clean,3,57,43,39.021,1.891,1.724,2.076,0.018,-0.061,1.891,1.724,2.076,0.018,-0.061,1,0",
    "edsr,abc,noise5,2,57,43,34.9,-0.51,-0.62,-0.4,0.105,-2.124,0,,,0,0,0,1",
    "edsr,abc,blur1,2,57,43,34.9,0.01,-0.02,0.04,0.509,-0.3,0.01,-0.02,0.04,0.509,-0.3,0.99,0.018",
    "edsr,abc,native,3,9,9,41,0.4,,,0.222,-0.2,0.3,,,0.1,-0.1,0.5,0",
)


def test_conditions_are_rows_with_the_worst_image_of_all_scales():
    assert results.conditions(MEASURED, "edsr") == [
        "| condition | x2 | x3 | x4 | worst image |",
        "| --- | --- | --- | --- | --- |",
        "| clean | +1.85 [+1.66, +2.05], 0% | +1.89 [+1.72, +2.08], 2% | - | -0.06 |",
        "| noise5 | -0.51 [-0.62, -0.40], 11% | - | - | -2.12 |",
        "| blur1 | +0.01 [-0.02, +0.04], 51% | - | - | -0.30 |",
        "| native | - | +0.40, 22% | - | -0.20 |",
    ]


def test_what_is_given_is_told_with_its_strength_and_what_is_refused():
    assert results.given(MEASURED, "edsr") == [
        "| condition | x2 | x3 | x4 | worst image |",
        "| --- | --- | --- | --- | --- |",
        "| clean | +1.50 [+1.40, +1.60], 0.75 | +1.89 [+1.72, +2.08], 1.00 | - | -0.06 |",
        "| noise5 | +0.00, 0.00, 100% refused | - | - | +0.00 |",
        "| blur1 | +0.01 [-0.02, +0.04], 0.99, 2% refused | - | - | -0.30 |",
        "| native | - | +0.30, 0.50 | - | -0.10 |",
    ]


def timed(network: str, value: str, processor: str = "A", scale: int = 2) -> Row:
    return Row("2026-01-01", processor, "torch 2", f"{network} x{scale} median", value, "megapixels/s", "test")


def test_the_opening_marks_what_is_certain_and_tells_what_it_costs_on_the_processor_measured_last():
    history = [timed("vdsr", "9", "B"), timed("edsr", "9"), timed("edsr", "0.9215"), timed("edsr", "7", "B", scale=3)]
    assert results.opening(MEASURED, history=history) == [
        "| gain, dB | clean | noise5 | blur1 | native | s/MP |",
        "| --- | --- | --- | --- | --- | --- |",
        "| EDSR, as given | +1.50 | (+0.00) | (+0.01) | - | 1.1 |",
        "| EDSR, in full | +1.85 | -0.51 | (+0.01) | - | 1.1 |",
        "| VDSR | (+1.20) | - | - | - | - |",
        "\ns/MP: seconds for a megapixel of the result at x2, from array to array, on A.",
    ]
    assert results.opening(MEASURED, "noise5", history=[])[0] == "| gain, dB | clean | blur1 | native | s/MP |"
    assert results.opening(MEASURED, history=[])[-1] == "| VDSR | (+1.20) | - | - | - | - |"
    assert results.opening(MEASURED, history=[timed("vdsr", "0.008")])[-2].endswith(" | 120 |")


TWINS = rows(
    HARM,
    "vdsr,abc,500,0,clean,2,disc,3,2,0.9000,0.9100,1.1000,1,1",
    "vdsr,abc,500,0,clean,2,disc,3,5,0.8000,0.7700,0.9314,1,0.5",
    "vdsr,abc,500,0,clean,2,disc,3,1,0.5500,0.4000,0.2000,0,1",
    "vdsr,abc,500,0,clean,3,disc,3,1,0.5500,0.4000,0.2000,0,1",
    "vdsr,abc,500,0,noise5,2,disc,3,2,0.7000,0.7300,1.0100,1,1",
)


def test_harm_is_counted_among_the_findings_that_bicubic_shows():
    assert results.harm(TWINS) == [
        "| condition | scale | findings | seen by bicubic | harmed | least cap | least contrast kept | greatest fall of AUC |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        "| clean | x2 | 3 | 2 | 1 | 0.5 | 0.931 | 0.030 |",
        "|  | x3 | 1 | 0 | 0 | 1 | - | - |",
        "| noise5 | x2 | 1 | 1 | 0 | 1 | 1.010 | -0.030 |",
    ]
    assert results.harm([{**row, "network": "edsr"} for row in TWINS] + TWINS, "vdsr") == results.harm(TWINS)


def test_estimates_are_told_by_truth_and_scale():
    found = rows(
        ESTIMATES,
        "none,2,0,57,0.000,0.000,0.412,0.912",
        "white,2,5,57,5.012,4.5,5.9,1.000",
        "white,3,5,57,5.05,4.1,6.2,0.965",
        "white,2,10,57,10.05,9.1,11.26,0.965",
        "quality,4,75,57,75.000,0.000,76.000,0.982",
    )
    assert results.estimates(found) == [
        "| what | truth | x2 | x3 | x4 |",
        "| --- | --- | --- | --- | --- |",
        "| none | 0 | 0 (0 to 0.412), 91% | - | - |",
        "| white | 5 | 5.01 (4.5 to 5.9), 100% | 5.05 (4.1 to 6.2), 96% | - |",
        "|  | 10 | 10.1 (9.1 to 11.3), 96% | - | - |",
        "| quality | 75 | - | - | 75 (0 to 76), 98% |",
    ]


SET5 = rows(
    NATURAL,
    "bicubic,2,,33.6412,0.92931,33.66,0.9299,2,0.85512",
    "bicubic,3,,30.3751,0.86782,30.39,0.8682,1,1.00000",
    "vdsr,2,short,36.4012,0.95321,37.53,0.9587,,",
    "vdsr,4,short,30.3612,0.86454,31.35,0.8838,,",
)


def test_natural_images_are_told_beside_what_is_published():
    assert results.natural(SET5) == [
        "| scale | bicubic, ours | published | VDSR, ours, short budget | published |",
        "| --- | --- | --- | --- | --- |",
        "| x2 | 33.64 / .9293 | 33.66 / .9299 | 36.40 / .9532 | 37.53 / .9587 |",
        "| x3 | 30.38 / .8678 | 30.39 / .8682 | - | - |",
        "| x4 | - | - | 30.36 / .8645 | 31.35 / .8838 |",
    ]


def test_low_resolution_images_are_told_beside_those_of_matlab():
    assert results.matlab(SET5) == [
        "| scale | largest difference, grey levels | equal |",
        "| --- | --- | --- |",
        "| x2 | 2 | 85.5% |",
        "| x3 | 1 | 100.0% |",
        "| x4 | - | - |",
    ]


@pytest.mark.parametrize("page", tables.PAGES, ids=str)
def test_every_page_has_the_tables_that_the_figures_give(page):
    text = (tables.ROOT / page).read_text()
    assert text == tables.rewritten(page, tables.every())
    assert text.count("\n<!-- table ") == len(BEGIN.findall(text))


@pytest.fixture
def folder(tmp_path):
    for name, found in (("squares", EVALUATED), ("two", [*MEASURED, {**MEASURED[0], "digest": "xyz"}])):
        with (tmp_path / f"{name}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, found[0])
            writer.writeheader()
            writer.writerows(found)
    return tmp_path


def test_a_marker_hands_its_words_to_the_table(folder):
    page = "before\n<!-- table gains squares srcnn -->\nstale\n<!-- end -->\n`<!-- table NAME -->` stays\n"
    lines = "\n".join(results.gains(EVALUATED, "srcnn"))
    new = f"before\n<!-- table gains squares srcnn -->\n{lines}\n<!-- end -->\n`<!-- table NAME -->` stays\n"
    assert written(page, results.tables([], folder)) == new
    assert written(new, results.tables([], folder)) == new


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("no_such squares", "there is no table 'no_such'; name one of gains, "),
        ("gains", "table gains: missing a required argument: 'rows'; mend the words after gains"),
        ("gains squares", "table gains squares: missing a required argument: 'model'; mend the words after gains"),
        ("estimates squares srcnn", "table estimates squares srcnn: too many positional arguments; mend the words"),
        ("gains no_such srcnn", r"no_such\.csv is missing; python -m tools\.kept WORKSPACE no_such writes it"),
        ("opening no_such", r"no_such\.csv is missing; python -m benchmarks\.conditions WORKSPACE NETWORK\.\.\. -o /.*no_such"),
        (
            "matlab no_such",
            r"no_such\.csv is missing; python -m benchmarks\.natural_images IMAGES \[-o FOLDER\] --keep /.*no_such",
        ),
        (
            "conditions squares edsr",
            r"squares\.csv is no CSV of this table \(KeyError\('network'\)\); python -m benchmarks\.cond",
        ),
        ("gains squares srcnm", r"squares\.csv: there is no network 'srcnm'; name one of srcnn, vdsr, edsr"),
        ("conditions two srcnn", r"two\.csv: the CSV has no srcnn: measure it, or name another"),
        ("conditions two edsr", r"two\.csv: the CSV has edsr of abc, xyz: keep one"),
        ("harm two", r"two\.csv: the table harm is of one network; name one of edsr, vdsr after the CSV"),
    ],
)
def test_a_marker_that_names_nothing_is_one_line_that_says_what_to_do(folder, words, message):
    page = f"<!-- table {words} -->\n<!-- end -->\n"
    with pytest.raises(UserError, match=message) as told:
        written(page, results.tables([], folder))
    assert "\n" not in str(told.value)


def test_a_table_without_an_end_leaves_the_text_to_the_next_table_alone(folder):
    page = "<!-- table gains squares vdsr -->\nprose\n<!-- table gains squares srcnn -->\n<!-- end -->\n"
    with pytest.raises(UserError, match="table gains squares vdsr has no <!-- end --> on a line of its own; add it"):
        written(page, results.tables([], folder))


def test_an_error_names_its_page(tmp_path, monkeypatch):
    (tmp_path / "page.md").write_text("<!-- table no_such -->\n<!-- end -->\n")
    monkeypatch.setattr(tables, "ROOT", tmp_path)
    with pytest.raises(UserError, match=r"^page\.md: there is no table 'no_such'"):
        tables.rewritten(tables.Path("page.md"), {})


def test_what_an_evaluation_found_is_kept(tmp_path):
    mean = {"group": "all", "model": "vdsr", "degradation": "x2", "metric": "psnr", "images": 57, "patients": 43}
    pair = {"group": "all", "pair": "vdsr-bicubic", "degradation": "x2", "metric": "psnr"}
    statistics = {
        "images": 57,
        "means": [
            {**mean, "mean": 42.031, "low": 41.297, "high": 42.703},
            {**mean, "metric": "inconsistency", "mean": 0.2, "low": None, "high": None},
        ],
        "differences": [
            {**pair, "mean": 1.98, "low": 1.771, "high": 2.211, "wins": 0.895, "p": 2.27e-13, "p_holm": 2.46e-11},
            {**pair, "group": "ILL", "mean": 1.5, "low": None, "high": None, "wins": 1.0, "p": None, "p_holm": None},
        ],
    }
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics/statistics.json").write_text(json.dumps(statistics))
    path = kept.keep(tmp_path, "squares", tmp_path / "results")
    assert path.read_text().splitlines() == [
        "what,group,of,degradation,metric,images,patients,mean,low,high,wins,p",
        "mean,all,vdsr,x2,psnr,57,43,42.031,41.297,42.703,,",
        "mean,all,vdsr,x2,inconsistency,57,43,0.2,,,,",
        "difference,all,vdsr-bicubic,x2,psnr,,,1.98,1.771,2.211,0.895,2.46e-11",
        "difference,ILL,vdsr-bicubic,x2,psnr,,,1.5,,,1,",
    ]
    made = results.tables([], path.parent)["gains"]("squares", "vdsr")
    assert made[2] == "| x2 | - | - | +1.98 [+1.77, +2.22] | 90%, 2.5e-11 |"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("squares", None, r"metrics/statistics\.json is missing; run dvc repro, which makes it"),
        ("squares", "{}", r"metrics/statistics\.json is damaged \('means'\); remove it and run dvc repro"),
        ("../squares", "{}", r"NAME is '\.\./squares'; name it with letters, digits and _ alone"),
    ],
)
def test_what_cannot_be_kept_is_one_line(tmp_path, name, text, message):
    if text is not None:
        (tmp_path / "metrics").mkdir()
        (tmp_path / "metrics/statistics.json").write_text(text)
    with pytest.raises(UserError, match=message):
        kept.keep(tmp_path, name, tmp_path / "results")
    assert not (tmp_path / "results").exists()
