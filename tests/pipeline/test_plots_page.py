import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import vl_convert
from dvc_render.vega import VegaRenderer

from cxr.foundation.errors import UserError
from cxr.superres import methods
from tools import plots_page, templates

TEMPLATES = Path(__file__).parents[2] / ".dvc" / "plots"

QUALITY = [
    {"rev": rev, "degradation": scale, "model": model, "psnr": f"{30 + i + gain}"}
    for rev, gain in (("main", 0.12), ("wider", 0.5))
    for scale in ("x2", "x4")
    for i, model in enumerate(("bicubic", "srcnn", "vdsr", "edsr"))
]
CURVES = [
    {"rev": rev, "model": model, "step": f"{step}", "degradation": scale, "loss": f"{1 / step}", "gain": f"{step / 100 - 1}"}
    for rev in ("main", "wider")
    for model in ("srcnn", "vdsr")
    for step in (50, 100, 200)
    for scale in ("x2", "x3", "x4")
]
GAINS = [
    {"rev": rev, "image": f"{image}", "findings": "NORMAL", "model": model, "degradation": scale, "gain": f"{image / 10 + i}"}
    for rev in ("main", "wider")
    for scale in ("x2", "x4")
    for i, model in enumerate(("srcnn", "vdsr"))
    for image in range(5)
]


def dvc(workspace, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=workspace, check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A workspace in git with a chart of each template, prepared twice."""
    workspace = tmp_path_factory.mktemp("workspace")
    subprocess.run(["git", "init", "-q"], cwd=workspace, check=True)
    dvc(workspace, "init", "-q")
    (workspace / ".dvc/config.local").write_text("[core]\n    analytics = false\n[plots]\n    auto_open = false\n")
    (workspace / ".dvc/plots").mkdir()
    for template in TEMPLATES.glob("*.json"):
        (workspace / ".dvc/plots" / template.name).write_bytes(template.read_bytes())
    plots_page.run(workspace)
    plots_page.run(workspace)
    of_srcnn, of_vdsr = ([row for row in CURVES[:18] if row["model"] == model] for model in ("srcnn", "vdsr"))
    for name, rows in (("psnr", QUALITY[:8]), ("gains", GAINS[:20]), ("train_srcnn", of_srcnn), ("train_vdsr", of_vdsr)):
        keys = [key for key in rows[0] if key != "rev"]
        lines = [",".join(keys), *(",".join(row[key] for key in keys) for row in rows)]
        (workspace / f"{name}.csv").write_text("\n".join(lines) + "\n")
    charts = {
        "psnr": {"template": "quality", "x": "degradation", "y": {"psnr.csv": "psnr"}},
        "gains": {"template": "gains", "x": "degradation", "y": {"gains.csv": "gain"}},
        "training": {"template": "curves", "x": "step", "y": {"train_srcnn.csv": "gain", "train_vdsr.csv": "gain"}},
    }
    (workspace / "dvc.yaml").write_text(json.dumps({"plots": [{name: chart} for name, chart in charts.items()]}))
    return workspace


def test_page_loads_nothing_from_a_server(workspace):
    dvc(workspace, "plots", "show")
    page = (workspace / "dvc_plots/index.html").read_text()
    assert not re.search(r"""<[^>]*\b(src|href)\s*=\s*["']?\s*(https?:)?//""", page)
    assert not re.search(r"@import|\burl\(", page.partition("<script>")[0])
    assert "jsdelivr" not in page.replace(vl_convert.javascript_bundle(plots_page.SNIPPET, plots_page.VEGA_LITE), "")


def test_page_holds_the_bundle_and_the_charts(workspace):
    dvc(workspace, "plots", "show")
    page = (workspace / "dvc_plots/index.html").read_text()
    bundle = vl_convert.javascript_bundle(plots_page.SNIPPET, plots_page.VEGA_LITE)
    assert bundle in page
    assert "</script" not in bundle.lower()
    charts = page.partition("<main>")[2]
    assert charts.count("vegaEmbed(") == 3
    assert '"30.12"' in charts
    assert "DVC_METRIC" not in charts


def test_other_local_settings_are_kept_and_git_sees_nothing(workspace):
    settings = dvc(workspace, "config", "--local", "--list").split()
    assert sorted(settings) == ["core.analytics=false", "plots.auto_open=false", "plots.html_template=plots_page/page.html"]
    untracked = subprocess.run(
        ["git", "status", "--short", "--untracked-files=all", ".dvc"],
        cwd=workspace,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert "plots_page" not in untracked
    assert "config.local" not in untracked


def test_without_dvc_says_so_in_one_line(tmp_path):
    with pytest.raises(UserError, match=r"\.dvc is missing; run from the root of the workspace") as error:
        plots_page.run(tmp_path)
    assert "\n" not in str(error.value)


def draw(template, rows, **properties):
    renderer = VegaRenderer([dict(row) for row in rows], "chart", template=template, template_dir=TEMPLATES, **properties)
    chart = renderer.get_filled_template()
    assert "DVC_METRIC" not in json.dumps(chart)
    return vl_convert.vegalite_to_svg(chart, vl_version=plots_page.VEGA_LITE)


def test_quality_draws_each_value_once_with_a_panel_for_each_revision():
    svg = draw("quality", QUALITY, x="degradation", y="psnr", title="On test", x_label="degradation", y_label="mean PSNR (dB)")
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    assert sorted(text for text in texts if re.fullmatch(r"3\d\.\d\d", text)) == sorted(
        f"{float(row['psnr']):.2f}" for row in QUALITY
    )
    for said in ("On test", "mean PSNR (dB)", "main", "wider", "Bicubic", "SRCNN", "VDSR", "EDSR"):
        assert said in texts
    for colour in methods.COLOURS.values():
        assert len(re.findall(f'fill="{colour}"', svg, re.IGNORECASE)) == 5  # two scales, two revisions and the legend


def test_quality_shows_ssim_to_four_decimals():
    rows = [{"rev": "main", "degradation": "x2", "model": "vdsr", "ssim": "0.93"}]
    assert ">0.9300</text>" in draw("quality", rows, x="degradation", y="ssim")


def test_curves_draw_a_line_for_each_network_and_scale_and_bicubic_at_zero():
    svg = draw("curves", CURVES, x="step", y="gain", title="Training", x_label="steps", y_label="gain (dB)")
    for model in ("srcnn", "vdsr"):
        colour = methods.COLOURS[model]
        lines = re.findall(rf'<path[^>]*d="(M[^"]*L[^"]*)"[^>]*stroke="{colour}"', svg, re.IGNORECASE)
        assert len([line for line in lines if line.count("L") == 2]) == 12  # gain and loss, two revisions, three scales
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    assert texts.count("bicubic") == 6
    for said in ("Training", "steps", "gain (dB)", "training loss", "main", "wider", "x2", "x3", "x4", "SRCNN", "VDSR"):
        assert said in texts


def test_gains_draw_a_tick_for_each_image_and_a_dot_for_the_median():
    svg = draw("gains", GAINS, x="degradation", y="gain", title="Gains", x_label="degradation", y_label="gain (dB)")
    for model in ("srcnn", "vdsr"):
        marks = re.findall(rf'aria-roledescription="(tick|point)"[^>]*fill="{methods.COLOURS[model]}"', svg, re.IGNORECASE)
        assert (marks.count("tick"), marks.count("point")) == (20, 4)
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    for said in ("Gains", "degradation", "gain (dB)", "main", "wider", "x2", "x4", "SRCNN", "VDSR"):
        assert said in texts


def test_the_templates_name_the_methods_as_they_are_now():
    for path in TEMPLATES.glob("*.json"):
        template = json.loads(path.read_text())
        assert templates.filled(template) == template, "run python -m tools.templates"
