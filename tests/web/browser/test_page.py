"""The page in a real browser: what it shows, pixel for pixel, and that all of it is at hand without a mouse."""

import base64
import contextlib
import io
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.base import AXE_SCRIPT
from PIL import Image
from playwright.sync_api import sync_playwright

from cxr.api import enhance_file, load_model
from cxr.foundation.place import ROOT
from cxr.sources.phantom.scene import draw
from tests.support.rendering import State, rendered
from tests.support.serving import serving
from tests.web.files import dicom, png

pytestmark = pytest.mark.browser

FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-background-networking"]
MARK = "Marker7391"


@pytest.fixture(scope="module")
def chromium():
    path = shutil.which("chromium")
    if not path:
        pytest.exit("chromium is missing, in which the page is tested; apt-get install chromium", returncode=1)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*FLAGS, "--disable-component-update"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def edsr(tmp_path_factory) -> Path:
    """Return EDSR without the limits beside it, so that it is at full strength."""
    return Path(shutil.copy(ROOT / "pretrained/edsr.safetensors", tmp_path_factory.mktemp("network")))


@pytest.fixture(scope="module")
def server(tmp_path_factory, edsr):
    with serving(tmp_path_factory.mktemp("serving"), "--model", str(edsr)) as found:
        yield found


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Return a folder with radiographs' files."""
    folder = tmp_path_factory.mktemp("files")
    pixels = draw(0, 5, 300, 12).pixels
    (folder / "deep.png").write_bytes(png(pixels))
    (folder / "flat.png").write_bytes(png((pixels >> 4).astype(np.uint8)))
    corners = {"PatientName": f"{MARK}^Jane", "ViewPosition": "PA", "WindowCenter": 2000, "WindowWidth": 3001}
    (folder / f"{MARK}.dcm").write_bytes(dicom(pixels, **corners))
    (folder / "inverted.dcm").write_bytes(dicom(4095 - pixels, photometric="MONOCHROME1"))
    curved = {"WindowCenter": 2000, "WindowWidth": 1500, "VOILUTFunction": "SIGMOID"}
    (folder / "curved.dcm").write_bytes(dicom(pixels, **curved))
    return folder


class Page:
    """The page, as a user and as a test sees it."""

    def __init__(self, page) -> None:
        self.page, self.requests, self.errors = page, [], []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda line: self.errors.append(line.text) if line.type == "error" else None)

    def __getattr__(self, name):
        return getattr(self.page, name)

    def js(self, expression: str):
        return self.page.evaluate(f"() => {expression}")

    def until(self, condition: str, seconds: float = 60) -> None:
        """Wait; Playwright's own way of it is what the page's policy forbids."""
        end = time.monotonic() + seconds
        while not self.js(f"Boolean({condition})"):
            assert time.monotonic() < end, f"{condition}: {self.page.inner_text('aside')}"
            time.sleep(0.02)

    def settled(self) -> None:
        self.until("!cxr.frame && !cxr.stale")

    def open(self, path: Path, told: bool = True) -> None:
        count = self.js("cxr.images.length")
        self.page.set_input_files("#files", str(path))
        self.until(f"cxr.images.length > {count} && cxr.current.complete" + " && cxr.current.told" * told)
        self.settled()

    def enhance(self) -> None:
        self.page.keyboard.press("e")
        self.until("cxr.enhanced")
        self.all_tiles()

    def all_tiles(self) -> None:
        self.settled()
        self.until("Object.values(cxr.current.tiles).every((tiles) => !tiles.missing && !tiles.loading.size)")
        self.settled()

    def canvas(self) -> np.ndarray:
        self.settled()
        content = self.js("document.getElementById('canvas').toDataURL('image/png')").partition(",")[2]
        found = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB"))
        assert (found == found[..., :1]).all()
        return found[..., 0]

    def state(self) -> State:
        found = self.js(
            "({...cxr.current.view, ...cxr.current.window, inverse: cxr.current.inverted !== cxr.current.invert, "
            "width: document.getElementById('canvas').width, height: document.getElementById('canvas').height, "
            "strength: cxr.strength, mode: cxr.compare, swipe: cxr.swipe, original: cxr.holding})"
        )
        return State(**found)

    def bytes_of(self, path: str) -> np.ndarray:
        answer = self.page.request.get(f"http://127.0.0.1:{self.port}{self.js('cxr.current.url')}/{path}")
        assert answer.ok, answer.text()
        return np.frombuffer(answer.body(), "<u2").astype(np.int64)

    def values(self) -> np.ndarray:
        rows, columns = self.js("[cxr.current.rows, cxr.current.columns]")
        return self.bytes_of("values/0/0").reshape(rows, columns)

    def enhanced_values(self, scale: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the whole result, of the tiles that the page has, and which of it that is."""
        rows, columns = (length * scale for length in self.js("[cxr.current.rows, cxr.current.columns]"))
        tiles = f"cxr.current.tiles[{scale}]"
        side, across, table = self.js(f"[{tiles}.side, {tiles}.across, [...{tiles}.textures.table]]")
        whole, there = np.zeros((rows, columns), np.int64), np.zeros((rows, columns), bool)
        for key, layer in enumerate(table):
            if layer:
                row, column = divmod(key, across)
                place = slice(row * side, min((row + 1) * side, rows)), slice(column * side, min((column + 1) * side, columns))
                shape = place[0].stop - place[0].start, place[1].stop - place[1].start
                whole[place] = self.bytes_of(f"enhanced/{scale}/{row}/{column}").reshape(shape)
                there[place] = True
        return whole, there

    def same(self, scale: int = 0) -> None:
        """See that the canvas is what NumPy makes of the same state, in every pixel."""
        table = self.bytes_of("table") if self.js("cxr.current.table") else None
        enhanced = self.enhanced_values(scale) if scale else (None, None)
        expected = rendered(self.state(), self.values(), *enhanced, table)
        np.testing.assert_array_equal(self.canvas(), expected)


@pytest.fixture
def page(chromium, server):
    """Return a page of its own session, of which nothing went wrong and nothing went elsewhere."""
    with opened(chromium, server) as found:
        yield found
        assert found.errors == []
        elsewhere = [url for url in found.requests if not url.startswith((f"http://127.0.0.1:{server.port}/", "blob:"))]
        assert elsewhere == []
        assert found.js("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]


@contextlib.contextmanager
def opened(chromium, server, width: int = 900, height: int = 640, **more):
    address = server.invitation()
    context = chromium.new_context(viewport={"width": width, "height": height}, accept_downloads=True, **more)
    found = Page(context.new_page())
    found.port = server.port
    found.goto(address)
    with server.new:
        assert server.new.wait_for(lambda: server.addresses[-1] != address, 20)
    found.until("globalThis.cxr && cxr.ready")
    yield found
    context.close()


# ---- what is shown


@pytest.mark.parametrize("name", ["deep.png", "flat.png", f"{MARK}.dcm", "inverted.dcm", "curved.dcm"])
def test_the_original_is_shown_first_as_it_is(page, folder, name):
    page.open(folder / name)
    assert not page.js("cxr.enhanced")
    page.same()
    page.keyboard.press("0")  # 1:1
    page.same()
    page.keyboard.press("9")
    page.same()


def test_one_to_one_shows_values_as_they_are(page, folder):
    page.open(folder / "flat.png")
    for keys in ("0", "r", "h"):
        page.keyboard.press(keys)
        canvas, values = page.canvas(), page.values()
        assert len(np.unique(canvas)) <= len(np.unique(values)) + 1
        page.same()


def test_at_two_to_one_the_result_of_scale_two_is_shown_as_it_is(page, folder):
    page.open(folder / "flat.png")
    page.keyboard.press("9")
    page.enhance()
    canvas, (whole, _) = page.canvas(), page.enhanced_values(2)
    row, column = (np.array(canvas.shape) - 100) // 2
    part = canvas[row : row + 100, column : column + 100]
    windows = np.lib.stride_tricks.sliding_window_view(whole, part.shape)
    assert any((window == part).all() for line in windows[::1] for window in line)


def test_the_view_changes_pixel_for_pixel(page, folder):
    page.open(folder / "deep.png")
    box = page.locator("#canvas").bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + 40, middle[1] + 60, steps=4)
    page.mouse.up()
    page.same()
    for keys in ("i", "r", "h", "v", "l", "r", "r", "+", "+", "-", "2", "3", "4", "5"):
        page.keyboard.press(keys)
        page.same()
    page.mouse.wheel(0, -333)
    page.same()
    page.mouse.down(button="middle")
    page.mouse.move(middle[0] - 70, middle[1] + 35, steps=3)
    page.mouse.up(button="middle")
    page.same()
    for _ in range(12):
        page.keyboard.press("-")
    page.same()


def test_dragging_down_brightens_and_right_widens(page, folder):
    """IHE Basic Image Review; whichever way round black and white are stored."""
    for name in ("deep.png", "inverted.dcm"):
        page.open(folder / name)
        box = page.locator("#canvas").bounding_box()
        middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        before, wide = page.canvas().mean(), page.js("cxr.current.window.high - cxr.current.window.low")
        page.mouse.move(*middle)
        page.mouse.down()
        page.mouse.move(middle[0], middle[1] + 60, steps=3)
        page.mouse.up()
        assert page.canvas().mean() > before + 5
        page.mouse.move(*middle)
        page.mouse.down()
        page.mouse.move(middle[0] + 60, middle[1], steps=3)
        page.mouse.up()
        assert page.js("cxr.current.window.high - cxr.current.window.low") > wide


def test_reset_shows_what_was_shown_at_first(page, folder):
    page.open(folder / "inverted.dcm")
    first = page.canvas()
    for keys in ("i", "r", "h", "9", "4", "e", "s"):
        page.keyboard.press(keys)
    page.keyboard.press("e")
    page.keyboard.press(" ")
    np.testing.assert_array_equal(page.canvas(), first)


@pytest.mark.parametrize("name", ["deep.png", "curved.dcm"])
def test_enhanced_is_shown_pixel_for_pixel_however_it_is_compared(page, folder, name):
    page.open(folder / name)
    page.keyboard.press("9")
    before = page.canvas()
    page.enhance()
    page.same(2)
    assert (page.canvas() != before).mean() > 0.1
    for keys in ("s", "b", "d", "d"):
        page.keyboard.press(keys)
        page.all_tiles()
        page.same(2)
    page.locator("#strength").fill("40")
    page.same(2)
    page.keyboard.press("s")
    page.locator("#swipe").fill("250")
    page.same(2)
    page.keyboard.down("o")
    page.until("cxr.holding")
    page.same(2)
    page.keyboard.up("o")
    for keys in ("i", "r", "h"):
        page.keyboard.press(keys)
        page.all_tiles()
        page.same(2)
    page.keyboard.press("s")
    page.keyboard.press("+")  # 2.5:1, by the network for x3
    page.until("cxr.current.tiles[3]")
    page.all_tiles()
    page.same(3)


def test_each_side_of_a_comparison_says_what_it_shows(page, folder):
    page.open(folder / "deep.png")
    page.keyboard.press("9")
    page.enhance()
    page.keyboard.press("s")
    page.all_tiles()
    line = page.js("document.querySelector('.split').getBoundingClientRect().x")
    before, after = (page.page.locator(name).bounding_box() for name in ("#before", "#after"))
    assert before["x"] + before["width"] <= line <= after["x"]
    assert [page.inner_text(name) for name in ("#before", "#after")] == ["ORIGINAL", "ENHANCED EDSR x2, 100%"]
    page.locator("#swipe").fill("30")  # where the original's label has no room
    page.until("document.getElementById('before').hidden && !document.getElementById('after').hidden")
    page.keyboard.down("o")
    page.until("document.getElementById('after').hidden")
    assert page.inner_text("#enhanced") == "ORIGINAL (held)"
    page.keyboard.up("o")


def test_texts_can_be_hidden_and_labels_stay(page, folder):
    page.open(folder / f"{MARK}.dcm")
    page.keyboard.press("9")
    page.enhance()
    assert page.page.is_visible("#patient span")
    page.keyboard.press("t")
    assert not page.page.is_visible("#patient span")
    assert not page.page.is_visible("#numbers span")
    assert page.page.is_visible("#enhanced")
    assert page.page.get_attribute("[data-do=texts]", "aria-pressed") == "true"
    page.click("[data-do=texts]")
    assert page.page.is_visible("#patient span")


def test_no_text_tells_more_strength_than_is_used(page, folder):
    page.open(folder / "deep.png")
    page.js("cxr.current.scales[2].cap = 0.4")
    page.keyboard.press("9")
    page.enhance()
    assert page.inner_text("#enhanced") == "ENHANCED EDSR x2, 40%"
    assert page.inner_text("#saveResult") == "Save enhanced x2, 40%"
    assert page.inner_text("#strengthShown") == "100% asked for, 40% used"
    page.locator("#strength").fill("30")
    assert page.inner_text("#strengthShown") == "30%"
    assert page.inner_text("#saveResult") == "Save enhanced x2, 30%"


def test_tiles_that_are_not_there_are_visibly_the_original(page, folder):
    page.open(folder / "deep.png")
    page.keyboard.press("9")
    page.page.route("**/enhanced/2/1/*", lambda route: None)  # those never come
    page.keyboard.press("e")
    held = "[...cxr.current.tiles[2].loading.keys()].filter((key) => Math.floor(key / cxr.current.tiles[2].across) === 1)"
    page.until(f"cxr.current.tiles[2] && {held}.length && {held}.length === cxr.current.tiles[2].loading.size")
    page.settled()
    page.same(2)
    missing = page.js("cxr.current.tiles[2].missing")
    assert missing > 0
    assert f"{missing} of " in page.inner_text("#hint")
    assert page.inner_text("#enhanced").startswith("ENHANCING EDSR x2, 100%: ")


def test_the_original_does_not_wait_for_what_came_in_and_a_key_that_comes_too_soon_is_not_lost(page, folder):
    asked = []

    def held(route):
        asked.append(route)

    page.page.route("**/told", held)
    page.open(folder / "deep.png", told=False)
    page.same()
    assert page.inner_text("#hint") == "Looking for noise and compression, before anything can be enhanced."
    page.keyboard.press("9")
    page.keyboard.press("e")
    assert not page.js("cxr.enhanced")
    page.until("cxr.current.shownAfter")
    (route,) = asked
    route.continue_()
    page.until("cxr.enhanced")
    page.all_tiles()
    page.same(2)


def test_when_it_cannot_be_told_what_came_in_the_next_key_tries_again(page, folder):
    page.page.route("**/told", lambda route: route.fulfill(status=422, json={"error": "the worker stopped"}), times=1)
    page.open(folder / "deep.png", told=False)
    page.until("document.getElementById('status').textContent === 'Not enhanced: the worker stopped'")
    page.keyboard.press("9")
    page.enhance()
    assert page.inner_text("#status") == ""
    page.same(2)
    page.errors.clear()  # the browser's own line of the 422


def test_at_fit_the_page_says_that_enhancement_would_not_show(page, folder):
    page.open(folder / "deep.png")
    page.keyboard.press("0")
    page.keyboard.press("e")
    page.until("cxr.enhanced")
    assert "enhancement would not show" in page.inner_text("#hint")
    assert page.js("Object.keys(cxr.current.tiles).length") == 0
    page.settled()
    assert page.inner_text("#enhanced") == "NOT ENHANCED at this zoom"
    page.keyboard.press("9")
    page.all_tiles()
    assert page.inner_text("#enhanced") == "ENHANCED EDSR x2, 100%"
    assert "Consistent with the input" in page.inner_text("#consistency")


def test_a_phantom_is_marked(page):
    page.click("#phantom")
    page.until("cxr.current && cxr.current.complete")
    assert page.locator("#synthetic").is_visible()


def test_corners_tell_whose_it_is_and_the_page_keeps_nothing(page, folder):
    page.open(folder / f"{MARK}.dcm")
    assert MARK in page.inner_text("#patient")
    assert "PA" in page.inner_text("#image")
    assert "Window 3001, level 2000" in page.inner_text("#numbers")
    page.keyboard.press("m")
    page.locator("#canvas").focus()
    page.keyboard.press("ArrowRight")
    page.click("#close")
    page.settled()
    assert MARK not in page.content()
    assert page.locator(".mark").first.is_hidden()


def test_a_name_is_text_and_no_markup(page, folder, tmp_path):
    """OE2#108."""
    (tmp_path / "x.dcm").write_bytes(dicom(draw(0, 5, 100, 12).pixels, PatientName="<img src=x onerror=alert(1)>"))
    page.open(tmp_path / "x.dcm")
    assert page.locator("#patient img").count() == 0
    assert "<img src=x" in page.inner_text("#patient")


def test_what_cannot_be_opened_is_told(page, tmp_path):
    (tmp_path / "no.png").write_bytes(b"no radiograph")
    page.page.set_input_files("#files", str(tmp_path / "no.png"))
    page.until("document.getElementById('status').textContent.includes('was not opened')")
    assert "not a readable" in page.inner_text("#status")
    page.errors.clear()  # Chromium notes the status of the answer


# ---- measuring, saving


def test_a_length_names_its_kind_of_millimetre_and_moves_by_keys(page, folder):
    page.open(folder / f"{MARK}.dcm")
    page.keyboard.press("0")
    page.keyboard.press("m")
    assert page.locator(".length").is_hidden()  # nobody has measured anything
    page.locator("#canvas").focus()
    page.keyboard.press("ArrowRight")
    page.settled()
    ends = page.js("cxr.current.line")
    across, down = (ends[1][axis] - ends[0][axis] for axis in (0, 1))
    expected = np.hypot(across * 0.3, down * 0.2)
    assert page.inner_text(".length") == f"{expected:.1f} mm (calibrated by the header)"
    page.locator(".mark").nth(1).focus()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    page.settled()
    assert page.inner_text(".length") == f"{expected + 3:.1f} mm (calibrated by the header)"
    page.keyboard.press("Delete")
    page.settled()
    assert page.locator(".length").is_hidden()


def test_a_turned_picture_says_so_and_its_sides_turn_with_it(page, tmp_path):
    (tmp_path / "x.dcm").write_bytes(dicom(draw(0, 5, 100, 12).pixels, PatientOrientation=["L", "F"]))
    page.open(tmp_path / "x.dcm")
    sides = ["sideLeft", "sideRight", "sideTop", "sideBottom"]

    def found() -> list[str]:
        page.settled()
        return [page.inner_text(f"#{name}") for name in sides]

    assert found() == ["R", "L", "H", "F"]
    assert page.locator("#turned").is_hidden()
    page.keyboard.press("h")
    assert found() == ["L", "R", "H", "F"]
    assert page.inner_text("#turned") == "MIRRORED"
    page.keyboard.press("r")  # what was at the left comes to the top
    assert found() == ["F", "H", "L", "R"]
    page.keyboard.press("i")
    page.settled()
    assert page.inner_text("#turned") == "MIRRORED, TURNED 90°, INVERTED"
    page.keyboard.press(" ")
    page.settled()
    assert page.locator("#turned").is_hidden()


def test_the_lens_shows_what_lies_under_it(page, folder):
    page.open(folder / "deep.png")
    page.keyboard.press("9")
    page.enhance()
    page.keyboard.press("b")
    page.keyboard.press("x")
    page.all_tiles()
    box = page.locator("#canvas").bounding_box()
    shown = []
    for half in (0.25, 0.75):
        page.mouse.move(box["x"] + box["width"] * half, box["y"] + box["height"] / 2)
        canvas = page.canvas()
        middle = int(canvas.shape[1] * half), canvas.shape[0] // 2
        shown.append(canvas[middle[1] - 50 : middle[1] + 50, middle[0] - 50 : middle[0] + 50])
    assert (shown[0] != shown[1]).mean() > 0.05  # the original, and the enhanced one
    page.keyboard.down("o")
    page.until("cxr.holding")
    held = page.canvas()
    assert (held[middle[1] - 50 : middle[1] + 50, middle[0] - 50 : middle[0] + 50] != shown[1]).mean() > 0.05
    page.keyboard.up("o")


def test_where_nothing_is_enhanced_nothing_is_compared(page, folder):
    page.open(folder / "deep.png")
    page.keyboard.press("9")
    page.enhance()
    page.keyboard.press("b")
    page.all_tiles()
    page.keyboard.press("0")  # at 1:1 enhancement does not show
    page.settled()
    assert page.js("[...document.querySelectorAll('.split')].length") == 0
    state = page.state()
    np.testing.assert_array_equal(page.canvas(), rendered(replace(state, mode=""), page.values()))


def test_a_page_that_is_loaded_again_shows_what_is_open(page, folder):
    page.open(folder / "deep.png")
    page.open(folder / "flat.png")
    before = page.js("cxr.images.map((image) => image.id)")
    page.page.reload()
    page.until("globalThis.cxr && cxr.ready && cxr.images.length === 2 && cxr.current.complete")
    assert page.js("cxr.images.map((image) => image.id)") == before
    page.same()


def test_the_next_radiograph_is_its_original_first(page, folder):
    page.open(folder / "deep.png")
    page.keyboard.press("9")
    page.enhance()
    page.open(folder / "flat.png")
    assert not page.js("cxr.enhanced")
    page.keyboard.press("PageUp")
    assert not page.js("cxr.enhanced")
    page.same()


def test_what_is_closed_while_it_loads_leaves_nothing(page, folder):
    page.open(folder / "deep.png")
    held = []
    page.page.route("**/values/*/*", lambda route, _request: held.append(route))
    page.page.set_input_files("#files", str(folder / "flat.png"))
    page.until("cxr.images.length === 2")
    while not held:
        page.page.wait_for_timeout(20)
    with page.page.expect_response(lambda answer: answer.request.method == "DELETE"):
        page.click("#close")
    page.until("cxr.images.length === 1")
    for route in held:
        route.continue_()
    page.page.wait_for_timeout(500)
    page.page.unroute_all()
    page.same()
    assert "not opened" not in page.page.inner_text("#status")


def test_what_is_saved_is_the_commands_file(page, folder, edsr, tmp_path):
    page.open(folder / "deep.png")
    page.keyboard.press("9")
    page.enhance()
    with page.page.expect_download() as found:
        page.click("#saveResult")
    assert found.value.suggested_filename == "deep-enhanced-x2.png"
    enhance_file(folder / "deep.png", tmp_path / "out.png", load_model(edsr))
    assert Path(found.value.path()).read_bytes() == (tmp_path / "out.png").read_bytes()


def test_the_picture_that_is_saved_says_what_it_is(page, folder):
    page.open(folder / "deep.png")
    page.keyboard.press("9")
    page.enhance()
    shown = page.canvas()
    with page.page.expect_download() as found:
        page.click("#savePicture")
    assert found.value.suggested_filename == "deep-ENHANCED-view.png"
    saved = np.asarray(Image.open(found.value.path()).convert("L"))
    changed = saved != shown
    assert 0.001 < changed.mean() < 0.1  # the labels alone
    assert changed[:100].any()
    assert not changed[100:].any()


# ---- hands and eyes


def test_everything_is_done_by_keys_alone(page, folder):
    page.open(folder / "deep.png")
    page.open(folder / "flat.png")
    page.keyboard.press("PageUp")
    assert page.js("cxr.current.name") == "deep.png"
    for key, tool in {"p": "pan", "z": "zoom", "w": "window", "x": "lens"}.items():
        page.keyboard.press(key)
        page.locator("#canvas").focus()
        before = page.canvas()
        for arrow in ("ArrowRight", "ArrowDown"):
            page.keyboard.press(f"Shift+{arrow}")
        assert page.js("cxr.tool") == tool
        assert (page.canvas() != before).any(), tool
    reached = set()
    named = "each.id || each.dataset.do || each.dataset.tool || ''"
    page.locator("#open").focus()
    for _ in range(60):
        reached.add(page.js(f"[document.activeElement].map((each) => {named})[0]"))
        page.keyboard.press("Tab")
    there = "[...document.querySelectorAll('header button, aside button, select')].filter((each) => each.offsetParent)"
    buttons = page.js(f"{there}.filter((each) => !each.disabled).map((each) => {named})")
    assert set(filter(None, buttons)) <= reached
    page.keyboard.press("?")
    assert page.locator("dialog").is_visible()
    page.keyboard.press("Escape")
    assert page.locator("dialog").is_hidden()


def test_axe_finds_nothing_in_any_state(page, folder):

    def violations() -> list[str]:
        page.page.evaluate(AXE_SCRIPT)
        rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
        found = page.page.evaluate("(rules) => axe.run(document, {runOnly: rules})", rules)
        return [f"{each['id']}: {each['nodes'][0]['html']}" for each in found["violations"]]

    assert violations() == []
    page.open(folder / f"{MARK}.dcm")
    page.open(folder / "flat.png")
    assert violations() == []
    page.keyboard.press("9")
    page.enhance()
    for keys in ("s", "b", "d", "m", "x"):
        page.keyboard.press(keys)
        page.all_tiles()
        assert violations() == [], keys
    page.keyboard.press("?")
    assert violations() == []


def test_two_fingers_zoom_and_one_windows(chromium, server, folder):
    with opened(chromium, server, 420, 800, has_touch=True, is_mobile=True, device_scale_factor=2) as page:
        page.open(folder / "deep.png")
        page.same()
        zoom, window = page.js("[cxr.current.view.zoom, cxr.current.window.low]")
        devtools = page.page.context.new_cdp_session(page.page)

        def touch(kind: str, *points: tuple[int, int]) -> None:
            at = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
            devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})

        touch("touchStart", (180, 300), (240, 300))
        for apart in (40, 60, 80):
            touch("touchMove", (210 - apart, 300), (210 + apart, 300))
        touch("touchEnd")
        assert page.js("cxr.current.view.zoom") > 2 * zoom
        page.same()
        touch("touchStart", (200, 300))
        for below in (10, 20, 30):
            touch("touchMove", (200, 300 + below))
        touch("touchEnd")
        assert page.js("cxr.current.window.low") != window
        page.same()
        assert page.errors == []


def test_while_a_tool_moves_nothing_is_asked_and_nothing_uploaded(page, folder):
    page.open(folder / "deep.png")
    page.keyboard.press("9")
    page.enhance()
    page.keyboard.press("s")
    page.settled()
    asked, uploads = len(page.requests), page.js("cxr.drawing.uploads")
    box = page.locator("#canvas").bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    spent = []
    for step in range(30):
        page.mouse.move(box["x"] + 100 + 3 * step, box["y"] + 100 + 2 * step)
        page.settled()
        spent.append(page.js("cxr.spent"))
    page.mouse.up()
    assert (len(page.requests), page.js("cxr.drawing.uploads")) == (asked, uploads)
    assert np.median(spent) <= 40  # alone 4: benchmarks/page.py


def test_the_page_is_small_and_usable_at_once(chromium, server):
    size = sum(path.stat().st_size for path in (ROOT / "cxr/web/page").iterdir())
    assert size < 100_000
    with opened(chromium, server) as page:
        assert page.js("performance.getEntriesByType('navigation')[0].domInteractive") < 2000  # alone 300


def test_on_a_phone_no_label_lies_over_the_picture(chromium, server, folder):
    with opened(chromium, server, 420, 800, has_touch=True, is_mobile=True, device_scale_factor=2) as page:
        page.open(folder / "deep.png")
        page.keyboard.press("9")
        page.enhance()
        label, canvas = (page.page.locator(name).bounding_box() for name in ("#enhanced", "#canvas"))
        assert label["y"] + label["height"] <= canvas["y"]
        page.same(2)


def test_a_strip_too_narrow_for_its_label_still_says_that_it_is_enhanced(page, folder):
    page.open(folder / "deep.png")
    page.keyboard.press("9")
    page.enhance()
    page.keyboard.press("s")
    page.all_tiles()
    assert not page.page.is_visible("#enhanced")  # each half says what it shows
    page.locator("#swipe").fill("970")
    page.until("document.getElementById('after').hidden")
    assert page.inner_text("#enhanced") == "ORIGINAL | ENHANCED EDSR x2, 100%"
    assert page.page.is_visible("#enhanced")


def test_a_key_pressed_twice_while_it_waits_counts_once(page, folder):
    asked = []

    def held(route):
        asked.append(route)

    page.page.route("**/told", held)
    page.open(folder / "deep.png", told=False)
    page.until("cxr.current.shownAfter")
    page.keyboard.press("9")
    page.keyboard.press("e")
    page.keyboard.press("e")
    asked[0].continue_()
    page.until("cxr.enhanced")
    page.all_tiles()
    assert page.js("cxr.enhanced")
