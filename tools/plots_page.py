"""Let `dvc plots show` and `dvc plots diff` draw their charts with no network: run once, at set-up.

DVC's own page loads Vega from a server and, without one, shows no chart and no error. This writes a page that holds Vega
itself, as vl-convert carries it, and names it in `.dvc/config.local`. Both belong to this copy of the workspace and
stay out of git: a committed setting whose page is missing would break `dvc plots show`.
"""

import subprocess
import sys
from pathlib import Path

import vl_convert

from cxr.foundation.errors import UserError, one_line_errors
from cxr.foundation.files import write_text

DVC = Path(".dvc")
PAGE = Path("plots_page/page.html")  # below .dvc, as DVC reads the setting
VEGA_LITE = "5.20"  # of the bundle; the templates in .dvc/plots are Vega-Lite 5

# Runs inside the bundle. DVC's page calls vegaEmbed with an element and a chart, and drops what it returns, errors included.
SNIPPET = """
window.vegaEmbed = (element, chart) =>
  vegaEmbed(element, chart, { actions: { export: true, source: false, compiled: false, editor: false } })
    .catch((error) => {
      const place = document.querySelector(element);
      place.className = "failed";
      place.textContent = `This chart could not be drawn: ${error}`;
    });
"""

# DVC puts the charts for {plot_divs}, each a script that calls vegaEmbed. It would put the tags that load Vega from a
# server for {scripts}, which is why that is not here.
HTML = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
{refresh_tag}
<title>Chest X-ray super-resolution: plots</title>
<style>
  body { margin: 2rem; font-family: system-ui, "Helvetica Neue", Arial, sans-serif; color: #202020; background: #ffffff; }
  h1 { font-size: 1.4rem; margin: 0; }
  header p { margin: 0.3rem 0 2rem; color: #606060; }
  main > div { margin-bottom: 2.5rem; max-width: 100%; overflow-x: auto; }
  main div { border: none !important; }
  main p { margin: 0.5rem; font-weight: 600; text-align: left; }
  main img { max-width: calc(100vw - 6rem); height: auto; cursor: zoom-in; }
  main > div:has(> div + div > img) img { max-width: calc(50vw - 4rem); }
  .failed { color: #b00020; }
</style>
<script>
/*BUNDLE*/
</script>
<script>
  document.addEventListener("click", (event) => {
    if (event.target.tagName === "IMG") window.open(event.target.src);
  });
</script>
</head>
<body>
<header>
<h1>Chest X-ray super-resolution</h1>
<p>For research, not for diagnosis. Click a picture to see it in full size.</p>
</header>
<main>
{plot_divs}
</main>
</body>
</html>
"""


def run(workspace: Path) -> Path:
    """Write the page for `workspace`, make it DVC's template there, and return its path. Raises UserError without .dvc."""
    folder = workspace / DVC
    if not folder.is_dir():
        raise UserError(f"{folder} is missing; run from the root of the workspace, after dvc init")
    page = folder / PAGE
    bundle = vl_convert.javascript_bundle(SNIPPET, vl_version=VEGA_LITE)
    write_text(page, HTML.replace("/*BUNDLE*/", bundle))
    write_text(page.parent / ".gitignore", "*\n")
    setting = ["config", "--local", "plots.html_template", PAGE.as_posix()]
    subprocess.run([sys.executable, "-m", "dvc", *setting], cwd=workspace, check=True)
    return page


def main() -> None:
    """Prepare the workspace in the current folder."""
    print(f"dvc plots show draws with {run(Path())}, which needs no network")


if __name__ == "__main__":
    with one_line_errors():
        main()
