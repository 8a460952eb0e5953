"""The server by HTTP: what it gives, to whom, and what it refuses. The holes of docs/web.md have their tests here."""

import asyncio
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pydicom import dcmread
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from cxr.api import enhance_file, load_model
from cxr.cli.serve import listening
from cxr.formats.dicom.radiograph import read
from cxr.foundation.place import ROOT
from cxr.sources.phantom.scene import draw
from cxr.superres.degradation.reduction import reduced
from cxr.web.guard import HEADERS
from tests.support.dicom_files import dataset, save
from tests.support.serving import RUN, free_port, serving
from tests.support.soak import file_of
from tests.web.files import dicom, png

MARK = "Marker7391"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """Return EDSR without the limits beside it, so that it is at full strength."""
    return Path(shutil.copy(ROOT / "pretrained/edsr.safetensors", tmp_path_factory.mktemp("network")))


@pytest.fixture(scope="module")
def server(tmp_path_factory, model):
    with serving(tmp_path_factory.mktemp("serving"), "--model", str(model)) as found:
        yield found


@pytest.fixture(scope="module")
def browser(server):
    return server.browser()


@pytest.fixture(scope="module")
def deep() -> np.ndarray:
    """Return a phantom of 12 bits, larger than a tile at every scale."""
    fine = torch.from_numpy(draw(0, 5, 800, 12).pixels.astype(np.float64))[None, None]
    fine = fine[..., : fine.shape[-1] // 4 * 4]
    return reduced(fine / 4095, 4)[0, 0].mul(4095).round().clamp(0, 4095).numpy().astype(np.uint16)


def values(browser, opened) -> np.ndarray:
    answer = browser.ask("GET", f"/radiographs/{opened['id']}/values/0/0")
    return np.frombuffer(answer.content, "<u2").reshape(opened["rows"], opened["columns"])


def enhanced(browser, opened, scale: int) -> np.ndarray:
    """Return the whole result, put together of tiles."""
    rows, columns = opened["rows"] * scale, opened["columns"] * scale
    side = browser.told(opened)["scales"][str(scale)]["side"] * scale
    whole = np.zeros((rows, columns), np.uint16)
    for row in range(-(-rows // side)):
        for column in range(-(-columns // side)):
            answer = browser.ask("GET", f"/radiographs/{opened['id']}/enhanced/{scale}/{row}/{column}")
            assert answer.status == 200, answer
            part = np.frombuffer(answer.content, "<u2").reshape(int(answer.headers["x-rows"]), -1)
            whole[row * side :, column * side :][: part.shape[0], : part.shape[1]] = part
    return whole


def test_what_is_opened_comes_back_value_for_value(browser, deep):
    opened = browser.open(png(deep))
    assert (opened["rows"], opened["columns"]) == deep.shape
    assert (opened["bits"], opened["low"], opened["high"], opened["inverted"]) == (12, 0, 4095, False)
    assert "told" not in opened  # which takes longer
    assert browser.told(opened)["told"].startswith("hardly any noise")
    np.testing.assert_array_equal(values(browser, opened), deep)
    assert browser.ask("GET", f"/radiographs/{opened['id']}/values/1/0").status == 404


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_tiles_are_the_file_that_is_saved_and_that_is_the_commands(browser, model, deep, scale, tmp_path):
    content = png(deep)
    opened = browser.open(content)
    tiles = enhanced(browser, opened, scale)
    answer = browser.ask("GET", f"/radiographs/{opened['id']}/result/png/{scale}/100")
    (tmp_path / "in.png").write_bytes(content)
    enhance_file(tmp_path / "in.png", tmp_path / "out.png", load_model(model), scale)
    assert answer.content == (tmp_path / "out.png").read_bytes()
    # bfloat16 rounds other sums in a tile than in the whole; 1/255 of white would be 16 of these levels.
    assert np.abs(tiles.astype(int) - np.asarray(Image.open(tmp_path / "out.png")).astype(int)).max() <= 16


def test_a_dicom_result_is_the_commands_but_for_its_time(browser, model, tmp_path):
    content = dicom(draw(0, 6, 96, 12).pixels, WindowCenter=2000, WindowWidth=3000)
    opened = browser.open(content)
    answer = browser.ask("GET", f"/radiographs/{opened['id']}/result/dcm/2/40")
    assert answer.headers["x-strength"] == "0.4"
    (tmp_path / "got.dcm").write_bytes(answer.content)
    got = dcmread(tmp_path / "got.dcm")
    (tmp_path / "in.dcm").write_bytes(content)
    at = datetime.strptime(got.InstanceCreationDate + got.InstanceCreationTime, "%Y%m%d%H%M%S")
    enhance_file(tmp_path / "in.dcm", tmp_path / "out.dcm", load_model(model), 2, now=at, strength=0.4)
    assert answer.content == (tmp_path / "out.dcm").read_bytes()
    assert got.StudyInstanceUID == "1.2.3"
    assert got.SeriesInstanceUID != "1.2.3.5"


@pytest.mark.parametrize(
    ("signed", "more"),
    [
        (False, {"photometric": "MONOCHROME1"}),
        (True, {"WindowCenter": 40, "WindowWidth": 900, "RescaleSlope": 1, "RescaleIntercept": -100}),
        (False, {"WindowCenter": 2000, "WindowWidth": 1500, "VOILUTFunction": "SIGMOID"}),
        (False, {"PixelPaddingValue": 0}),
    ],
)
def test_dicom_is_shown_as_the_project_shows_it_and_tiles_are_its_result(browser, tmp_path, signed, more):
    stored = draw(0, 6, 160, 12).pixels.astype(int) - 2048 * signed
    stored[:9, :20] = 0
    content = dicom(stored, signed=signed, **more)
    opened = browser.open(content)
    (tmp_path / "in.dcm").write_bytes(content)
    radiograph = read(tmp_path / "in.dcm")
    found = values(browser, opened).astype(float)
    if opened["table"]:
        table = np.frombuffer(browser.ask("GET", f"/radiographs/{opened['id']}/table").content, "<u2")
        found = table[found.astype(int)].astype(float)
    shown = ((found - opened["low"]) / (opened["high"] - opened["low"])).clip(0, 1)
    shown = 1 - shown if opened["inverted"] else shown
    np.testing.assert_allclose(shown, radiograph.levels(), atol=2e-5)
    answer = browser.ask("GET", f"/radiographs/{opened['id']}/result/dcm/2/100")
    (tmp_path / "out.dcm").write_bytes(answer.content)
    saved = read(tmp_path / "out.dcm").stored - radiograph.display.least
    seen = ~radiograph.padding.repeat(2, 0).repeat(2, 1)
    assert np.abs(enhanced(browser, opened, 2).astype(int) - saved)[seen].max() <= 40  # of 4,096


def test_lengths_and_corners_are_told(browser, deep):
    opened = browser.open(dicom(deep))
    assert opened["corners"]["patient"][:2] == ["Doe^Jane", "4711"]
    assert opened["spacing"] == {"down": 0.2, "across": 0.3, "kind": "mm (calibrated by the header)"}
    for more, kind in (
        ({"PixelSpacing": None}, "mm at the detector (longer than in the patient)"),
        ({"PixelSpacing": [0.143, 0.143]}, "mm at the detector (longer than in the patient)"),
        ({"PixelSpacing": [0.143, 0.143], "PixelSpacingCalibrationType": "FIDUCIAL"}, "mm (calibrated by the header)"),
        ({"ImagerPixelSpacing": None}, "mm (the header tells not in which plane)"),
    ):
        assert browser.open(dicom(deep, **more))["spacing"]["kind"] == kind
    assert browser.open(dicom(deep, PixelSpacing=None, ImagerPixelSpacing=None))["spacing"] is None
    estimated = browser.open(dicom(deep, PixelSpacing=None, EstimatedRadiographicMagnificationFactor=1.1))
    assert estimated["spacing"]["down"] == pytest.approx(0.13)
    assert "estimates" in estimated["spacing"]["kind"]


def test_a_phantom_says_that_it_is_one(browser):
    opened = browser.ask("POST", "/phantoms").said
    assert opened["synthetic"] is True
    assert opened["bits"] == 12


# ---- who may


def test_a_token_lets_one_browser_in_once(server):
    first = server.invitation()
    assert server.ask("HEAD", "/?" + first.partition("?")[2]).status == 405  # the preview of a link
    one = server.browser()
    assert server.ask("GET", "/?" + first.partition("?")[2]).status == 403
    for path in ("/", "/radiographs/x/values/0/0", "/?token=guess"):
        assert server.ask("GET", path).status == 403
    assert one.ask("GET", "/").status == 200


def test_nobody_gets_anothers_radiograph(server, browser, deep):
    opened = browser.open(png(deep))
    other = server.browser()
    for path in ("values/0/0", "enhanced/2/0/0", "result/png/2/100", "table"):
        assert other.ask("GET", f"/radiographs/{opened['id']}/{path}").status == 404
    assert other.ask("DELETE", f"/radiographs/{opened['id']}").status == 404
    assert len(opened["id"]) >= 22  # 128 random bits


def test_what_is_closed_is_gone(browser, deep):
    opened = browser.open(png(deep))
    assert browser.ask("DELETE", f"/radiographs/{opened['id']}").status == 204
    assert browser.ask("GET", f"/radiographs/{opened['id']}/values/0/0").status == 404


def test_browsers_at_once_get_their_own(server):
    """Eight browsers, four files each; the large run is `make soak`."""

    def use(seed: int) -> list[str]:
        browser, wrong = browsers[seed], []
        for number in range(4):
            pixels = file_of(4 * seed + number)
            opened = browser.open(png(pixels))
            if not np.array_equal(values(browser, opened), pixels):
                wrong.append(f"values of {seed}")
            near = enhanced(browser, opened, 2).astype(float).reshape(96, 2, 96, 2).mean(axis=(1, 3))
            if np.corrcoef(near.ravel(), pixels.ravel())[0, 1] < 0.9:
                wrong.append(f"tile of {seed}")
        return wrong

    browsers = [server.browser() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        assert [wrong for each in pool.map(use, range(8)) for wrong in each] == []


# ---- what is refused


def head(browser, header: str) -> bytes:
    """Return the beginning of a request that opens a radiograph."""
    host, cookie = f"Host: 127.0.0.1:{browser.serving.port}", f"Cookie: {browser.cookie}"
    return "\r\n".join(["PUT /radiographs HTTP/1.1", host, cookie, header, "", ""]).encode()


def refused(server, status: int, method: str = "GET", path: str = "/", **headers: str) -> None:
    answer = server.ask(method, path, None, **headers)
    assert answer.status == status, answer
    assert "Traceback" not in answer.content.decode()


def test_another_name_for_this_host_is_refused(server):
    for host in ("evil.example", f"evil.example:{server.port}", "127.0.0.1", ""):
        refused(server, 400, Host=host)


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}, {"Origin": "null"}])
def test_what_comes_from_another_site_is_refused(browser, headers):
    assert browser.ask("POST", "/phantoms", **headers).status == 403


def test_a_link_from_elsewhere_may_lead_to_the_page(browser):
    assert browser.ask("GET", "/", **{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}).status == 200


def test_a_compressed_body_is_refused(browser):
    """CVE-2026-5438."""
    answer = browser.ask("PUT", "/radiographs", b"\x1f\x8b", **{"Content-Encoding": "gzip"})
    assert answer.status == 415


def test_a_length_beyond_the_limit_is_refused_at_once(server, browser):
    """CVE-2026-5440."""
    begun = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.port)) as raw:
        raw.sendall(head(browser, "Content-Length: 4294967296"))
        assert raw.recv(100).startswith(b"HTTP/1.1 413")
    assert time.monotonic() - begun < 2


def test_an_endless_body_is_cut(server, browser):
    with socket.create_connection(("127.0.0.1", server.port)) as raw:
        raw.sendall(head(browser, "Transfer-Encoding: chunked"))
        chunk = b"100000\r\n" + bytes(0x100000) + b"\r\n"
        try:
            for _ in range(80):
                raw.sendall(chunk)
        except OSError:  # it has hung up
            pass
        answer = b""
        try:
            answer = raw.recv(100)
        except OSError:
            return
        assert answer.startswith(b"HTTP/1.1 413")


def test_a_slow_body_is_given_up_and_others_are_served_meanwhile(tmp_path, monkeypatch):
    code = "import cxr.web.app as app; app.SLOWEST = 0.5; " + RUN
    monkeypatch.setattr("tests.support.serving.RUN", code)
    with serving(tmp_path, "--model", "srcnn") as server:
        browser = server.browser()
        with socket.create_connection(("127.0.0.1", server.port)) as raw:
            head = (
                f"PUT /radiographs HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nCookie: {browser.cookie}\r\nContent-Length: 100"
            )
            raw.sendall(head.encode() + b"\r\n\r\nabc")
            assert browser.ask("GET", "/health").status == 200
            assert raw.recv(100).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize(
    "path",
    [
        "/..%2f..%2fetc/passwd",
        "/static/../app.py",
        "/radiographs/..%2f..%2f/values/0/0",
        "/main.js/..",
        "/page/main.js",
        "//etc/passwd",
    ],
)
def test_no_path_leads_to_a_file(browser, path):
    """CVE-2026-28414."""
    assert browser.ask("GET", path).status in {404, 405}


def test_many_ranges_cost_nothing(browser):
    """CVE-2025-62727."""
    begun = time.monotonic()
    ranges = ",".join(f"{first}-{first}" for first in range(3000))
    assert browser.ask("GET", "/main.js", Range=f"bytes={ranges}").status == 200
    assert time.monotonic() - begun < 0.5


def test_no_parser_of_forms_is_there():
    """CVE-2026-40347, CVE-2026-42561."""
    assert not re.search(r"multipart", (ROOT / "requirements.txt").read_text())


def test_every_answer_says_what_browsers_must_not_do(server, browser):
    for answer in (
        server.ask("GET", "/"),
        browser.ask("GET", "/"),
        browser.ask("GET", "/none"),
        server.ask("GET", "/", Host="x"),
    ):
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
        assert "server" not in answer.headers
        assert "connect-src 'self'" in answer.headers["content-security-policy"]


def refusal(folder: Path, *arguments: str) -> str:
    """Return the one line with which `cxr serve` ends at once."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    call = [sys.executable, "-c", RUN, "serve", *arguments]
    done = subprocess.run(call, capture_output=True, text=True, cwd=folder, env=env, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    return done.stderr.rstrip()


def test_other_hosts_are_refused_in_one_line(tmp_path):
    for host in ("0.0.0.0", "::", "192.168.0.1"):
        told = refusal(tmp_path, "--host", host)
        assert re.fullmatch(rf"error: --host {host}: .* put a reverse proxy before it, see docs/web\.md", told)


def test_a_taken_port_is_one_line(server, tmp_path):
    told = refusal(tmp_path, "--port", str(server.port))
    assert told == f"error: port {server.port}: Address already in use; give another one with --port"


def test_parts_of_an_answer_are_not_held_back():
    """With Nagle's algorithm each answer took 44 ms."""

    async def option() -> int:
        found: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def met(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            found.set_result(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        port = free_port()
        async with await asyncio.start_server(met, sock=listening("127.0.0.1", port)):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return await found

    assert asyncio.run(option())


# ---- damaged files


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"Rows": 65535, "Columns": 65535}, "more than 100,000,000 pixels"),
        ({"photometric": "PALETTE COLOR"}, "PhotometricInterpretation is PALETTE COLOR, not MONOCHROME1 or 2"),
        ({"BitsStored": 40}, "40 bits a pixel, not 8 to 16"),
        ({"NumberOfFrames": 7}, "7 frames; save each by itself"),
    ],
)
def test_a_dicom_that_is_none_is_told_in_one_line(browser, deep, change, reason):
    """CVE-2026-5442 to 5444."""
    answer = browser.ask("PUT", "/radiographs", dicom(deep, **change))
    assert answer.status == 422
    assert answer.said == {"error": reason}


def test_a_radiograph_that_is_too_large_for_the_page_is_told(browser):
    answer = browser.ask("PUT", "/radiographs", png(np.zeros((6000, 6000), np.uint8)))
    assert answer.said["error"].startswith("6,000 x 6,000 pixels, more than the 30,000,000 pixels")
    answer = browser.ask("PUT", "/radiographs", png(np.zeros((20, 16_001), np.uint8)))
    assert "16,000 rows or columns" in answer.said["error"]


def test_damaged_files_are_told_and_the_next_one_is_whole(browser, deep, tmp_path):
    """Cut, and with bytes changed: no worker stops, no traceback. CVE-2026-5437, 5441, 5445: no pixel of the one before."""
    random = np.random.default_rng(0)
    contents = [png(deep), dicom(deep)]
    for syntax in (RLELossless, JPEGLSLossless, JPEG2000Lossless):
        save(dataset(np.full((96, 96), 4000), 12), tmp_path / "x.dcm", syntax)
        contents.append((tmp_path / "x.dcm").read_bytes())
    replaced = browser.ask("GET", "/health").said["replaced"]
    for content in contents:
        browser.open(png(np.full((300, 300), 12_345, np.uint16)))  # what must not show
        for _ in range(8):
            damaged = bytearray(content)
            for place in random.integers(0, min(len(damaged), 3000), 4):
                damaged[place] = random.integers(256)
            cut = bytes(damaged[: random.integers(len(damaged) // 2, len(damaged))])
            answer = browser.ask("PUT", "/radiographs", cut)
            assert answer.status in {201, 422}
            assert b"Traceback" not in answer.content
            if answer.status == 201:
                path = f"/radiographs/{answer.said['id']}/values/0/0"
                assert 12_345 not in np.frombuffer(browser.ask("GET", path).content, "<u2")
                browser.ask("DELETE", f"/radiographs/{answer.said['id']}")
        opened = browser.open(png(deep))
        np.testing.assert_array_equal(values(browser, opened), deep)
        for each in browser.ask("GET", "/radiographs").said:
            browser.ask("DELETE", f"/radiographs/{each['id']}")
    assert browser.ask("GET", "/health").said["replaced"] == replaced


def test_no_file_and_no_archive_is_taken_for_a_radiograph(browser):
    """CVE-2026-5439."""
    for content in (b"", b"PK\x03\x04" + bytes(100), b"<svg onload=alert(1)>", b"MZ" + bytes(126) + b"DICM"):
        answer = browser.ask("PUT", "/radiographs", content)
        assert answer.status == 422
        assert set(answer.said) == {"error"}


# ---- privacy


def test_no_name_is_in_logs_answers_of_errors_or_folders(tmp_path, deep, model):
    """A marker in every text of the header."""
    names = ["PatientName", "PatientID", "InstitutionName", "StudyDescription", "SeriesDescription", "AccessionNumber"]
    with serving(tmp_path, "--model", str(model), "--audit", "audit.jsonl") as server:
        browser = server.browser()
        opened = browser.open(dicom(deep, **dict.fromkeys(names, MARK)))
        assert MARK in json.dumps(opened)  # its own corner texts
        browser.ask("GET", f"/radiographs/{opened['id']}/result/dcm/2/100")
        broken = browser.ask("PUT", "/radiographs", dicom(deep, **dict.fromkeys(names, MARK), PhotometricInterpretation=MARK))
        browser.ask("GET", f"/radiographs/{MARK}/values/0/0")
        kept = [
            path for path in Path("/dev/shm").glob("cxr-serve-*/*") if path.name != "lock" and MARK in path.read_text("latin-1")
        ]
        lines = [*server.lines]
    audit = (tmp_path / "audit.jsonl").read_text()
    assert kept == []
    assert MARK not in "\n".join(lines)
    assert MARK not in audit
    assert broken.status == 422
    assert (tmp_path / "audit.jsonl").stat().st_mode & 0o077 == 0
    written = [json.loads(line) for line in audit.splitlines()]
    assert [each["action"] for each in written] == ["open", "export"]
    assert all(len(each["pixels"]) == 64 for each in written)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["audit.jsonl"]


def test_a_demo_has_no_way_to_open_a_file(tmp_path, deep):
    with serving(tmp_path, "--model", "srcnn", "--demo", "--host", "0.0.0.0", "--behind-proxy", "demo.example") as server:
        page = server.ask("GET", "/", Host="demo.example")
        assert 'data-where="demo"' in page.content.decode()
        assert "set-cookie" not in page.headers
        assert server.invitation() == "https://demo.example/"
        assert server.ask("PUT", "/radiographs", png(deep)).status in {404, 405}
        first = server.ask("POST", "/phantoms", None)
        assert "Secure" in first.headers["set-cookie"]
        cookie = first.headers["set-cookie"].partition(";")[0]
        assert server.ask("PUT", "/radiographs", png(deep), cookie).status in {404, 405}
        found = [server.ask("POST", "/phantoms", None, cookie) for _ in range(5)]
        assert [each.status for each in found] == [201] * 5
        assert found[0].said["synthetic"] is True
        kept = [each["id"] for each in server.ask("GET", "/radiographs", None, cookie).said]
        assert kept == [each.said["id"] for each in found[1:]]  # the oldest had to go


def test_what_a_network_would_harm_is_refused(tmp_path, deep):
    """By the limits beside it, as the command does."""
    network = tmp_path / "srcnn.safetensors"
    network.write_bytes((ROOT / "pretrained/srcnn.safetensors").read_bytes())
    digest = load_model(network).digest
    (tmp_path / "limits.csv").write_text(
        "network,digest,scale,condition,noise,rough,jpeg,cap,why,findings\n"
        f"srcnn,{digest},2,clean,0,0,0,0,it harms,1\nsrcnn,{digest},3,clean,0,0,0,0.5,a nodule,1\n"
    )
    with serving(tmp_path, "--model", str(network)) as server:
        browser = server.browser()
        opened = browser.open(png(deep))
        assert browser.told(opened)["scales"]["2"] == {"cap": 0.0, "why": "it harms", "side": 128}
        assert browser.ask("GET", f"/radiographs/{opened['id']}/enhanced/2/0/0").status == 409
        answer = browser.ask("GET", f"/radiographs/{opened['id']}/result/png/2/100")
        assert answer.status == 409
        assert "it harms" in answer.said["error"]
        assert "--or-bicubic" not in answer.said["error"]
        assert browser.ask("GET", f"/radiographs/{opened['id']}/result/png/3/100").headers["x-strength"] == "0.5"
