"""Time the page in Chromium: how soon it is usable, the original there, and what is on screen enhanced.

    python -m benchmarks.page [--rounds 20]

Each round is a browser's session of its own at 1,280x800, in which a DICOM file of 2,000x2,500 pixels, 12 bits, is opened. The
figures, medians and the value that 95% do not exceed, go to `benchmarks/history.csv`. Chromium draws without a GPU here, by
SwiftShader, on the cores that compute.
"""

import argparse
import shutil
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, sync_playwright
from tqdm import tqdm

from benchmarks import history
from cxr.foundation.errors import UserError, one_line_errors
from cxr.foundation.place import ROOT
from cxr.sources.phantom.dicom import write_dicom
from cxr.sources.phantom.scene import draw
from cxr.sources.table import Listed
from tests.support.serving import Serving, serving

ROWS, COLUMNS, BITS = 2000, 2500, 12
FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-background-networking"]
LATE = 95  # percentile

UNTIL = """(condition) => new Promise((done) => {
  const look = () => (condition() ? done(performance.now()) : setTimeout(look, 2));
  look();
})"""
OPENED = f"async () => ({UNTIL})(() => cxr.current && cxr.current.complete && !cxr.stale).then(() => cxr.current.shownAfter)"
TOLD = f"""async () => {{
  const begun = performance.now();
  return await ({UNTIL})(() => cxr.current.told && !cxr.frame) - begun;
}}"""
ENHANCED = f"""async () => {{
  const begun = performance.now();
  document.getElementById("enhance").click();
  const first = await ({UNTIL})(() => cxr.current.tiles[2] && cxr.current.tiles[2].off.size && !cxr.frame);
  const all = await ({UNTIL})(() => !cxr.current.tiles[2].missing && !cxr.frame);
  return [first - begun, all - begun];
}}"""
MOVED = """async () => {
  const spent = [], begun = performance.now();
  const canvas = document.getElementById("canvas");
  const send = (name, x) => canvas.dispatchEvent(new PointerEvent(name, {pointerId: 1, clientX: x, clientY: 300, button: 0}));
  canvas.setPointerCapture = () => {};
  send("pointerdown", 300);
  for (let i = 0; i < 60; i++) {
    send("pointermove", 300 + (i % 20) * 5);
    await new Promise(requestAnimationFrame);
    spent.push(cxr.spent);
  }
  canvas.dispatchEvent(new PointerEvent("pointerup", {pointerId: 1}));
  return [spent.sort((a, b) => a - b)[30], 60000 / (performance.now() - begun)];
}"""


def radiograph(folder: Path) -> Path:
    """Write a phantom of ROWS and COLUMNS into `folder`."""
    pixels = draw(0, 5, ROWS, BITS).pixels
    wide = np.pad(pixels, ((0, 0), (0, max(COLUMNS - pixels.shape[1], 0))), "edge")[:, :COLUMNS]
    listed = Listed(file="", name="", patient="phantom", findings="", view="PA", age="50", sex="F", spacing="0.14")
    return folder / write_dicom(folder, wide, BITS, listed, "page")


def measured(chromium: Browser, server: Serving, file: Path) -> dict[str, float]:
    """Return by name what one session takes."""
    address = server.invitation()
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.goto(address)
    with server.new:
        server.new.wait_for(lambda: server.addresses[-1] != address, 20)
    usable = page.evaluate(f"async () => ({UNTIL})(() => globalThis.cxr && cxr.ready)")
    page.set_input_files("#files", str(file))
    found = {"page usable": usable, "original of 2,000x2,500 shown": page.evaluate(OPENED)}
    found["noise and compression told after that"] = page.evaluate(TOLD)
    page.keyboard.press("9")
    found["first tile enhanced"], found["screen enhanced"] = page.evaluate(ENHANCED)
    found["script a frame"], found["frames a second"] = page.evaluate(MOVED)
    context.close()
    return found


def main() -> None:
    """Measure, print, and keep the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    path = shutil.which("chromium")
    if not path:
        raise UserError("chromium is missing, in which the page is timed; install it")
    every: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        file = radiograph(Path(name))
        chromium = playwright.chromium.launch(executable_path=path, args=FLAGS)
        model = str(ROOT / "pretrained/edsr.safetensors")
        with serving(Path(name), "--model", model, threads=0) as server:
            for _ in tqdm(range(rounds), unit="session", disable=None):
                for what, value in measured(chromium, server, file).items():
                    every[what].append(value)
        chromium.close()
    size = sum(each.stat().st_size for each in (ROOT / "cxr/web/page").iterdir())
    figures: list[history.Figure] = [("page: size", size / 1000, "kB")]
    for what, values in every.items():
        unit = "a second" if what == "frames a second" else "ms"
        late = float(np.percentile(values, 100 - LATE if what == "frames a second" else LATE))
        figures += [(f"page: {what}, median", float(np.median(values)), unit), (f"page: {what}, 95%", late, unit)]
    for what, value, unit in figures:
        print(f"{what:44} {value:8.1f} {unit}", flush=True)
    history.add(figures, f"python -m benchmarks.page, {rounds} rounds, 1,280x800, SwiftShader")


if __name__ == "__main__":
    with one_line_errors():
        main()
