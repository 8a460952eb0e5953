"""Kaggle's own client against Kaggle on loopback, with every fault that either is known for."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cxr.sources import kaggle
from tests.support.kaggle_server import IMAGES, Kaggle, content, cut, drop, hang, status, write_zip
from tests.support.tiny import ROOT, write_params

MIB = 1 << 20  # the client writes by the MiB, and what a cut leaves of one is lost
TOKEN, KEY = "secret-token", "secret-key"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Kaggle]:
    with Kaggle(write_zip(tmp_path / "served.zip")) as server:
        yield server


class Workspace:
    def __init__(self, folder: Path, python: Path) -> None:
        self.python = python
        self.folder, self.home = folder / "workspace", folder / "home"
        self.folder.mkdir()
        self.home.mkdir()
        self.archive = self.folder / "downloads" / kaggle.ZIP
        self.set()

    def set(self, stall_seconds: float = 20, retry_minutes: float = 1) -> None:
        runtime = {"workers": 1, "stall_seconds": stall_seconds, "retry_minutes": retry_minutes}
        write_params(self.folder, {"download": {"source": "kaggle"}, "runtime": runtime})

    def start(self, server: Kaggle, python: str | None = None, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [python or self.python, "-m", "stages.download"],
            cwd=self.folder,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(ROOT),
                "HOME": str(self.home),
                **server.environment,
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, server: Kaggle, **environment: str) -> str:
        """Return the output of a run that must succeed, and bring each image once and unchanged."""
        with self.start(server, **environment) as stage:
            output = stage.communicate(timeout=60)[0]
        self.check(output)
        assert stage.returncode == 0, output
        raw = self.folder / "data/raw"
        assert {path.relative_to(raw).as_posix(): path.read_bytes() for path in raw.glob("*/*")} == {
            name.split("/", 1)[1]: content(name) for name in IMAGES
        }
        assert self.archive.read_bytes() == server.content.read_bytes()
        assert sorted(path.name for path in self.archive.parent.iterdir()) == [".lock", "chest-xray-pneumonia.json", kaggle.ZIP]
        assert json.loads((self.folder / "metrics/download.json").read_text()) == {
            "source": "kaggle",
            "images": {"NORMAL": 2, "PNEUMONIA": 2},
            "left_out": {"copies": 1, "no_image": 5, "masks": 0, "not_in_table": 0, "external": 0},
            "patients": {"table": 0, "expression": 0, "header": 0, "name": 4, "none": 0},
            "sha256": hashlib.sha256(self.archive.read_bytes()).hexdigest(),
        }
        return output

    def fail(self, server: Kaggle, **environment: str) -> str:
        """Return the one line by which a run that must fail says why; it must leave nothing that passes for whole."""
        with self.start(server, **environment) as stage:
            output = stage.communicate(timeout=60)[0]
        self.check(output)
        assert stage.returncode == 1, output
        errors = [line for line in output.splitlines() if line.startswith("error: ")]
        assert errors == output.splitlines()[-1:]
        assert not (self.folder / "data/raw").exists()
        assert not (self.folder / "metrics").exists()
        return errors[0]

    @staticmethod
    def check(output: str) -> None:
        assert "Traceback" not in output
        assert "secret" not in output  # token, key, and the signature in the storage's address
        assert "storage.localhost" not in output


@pytest.fixture
def workspace(tmp_path: Path, warm_commands: Path) -> Workspace:
    return Workspace(tmp_path, warm_commands / "python")


def test_the_pinned_version_arrives_without_credentials_and_once(server, workspace):
    output = workspace.run(server)
    (request,) = server.asked
    assert request.body == {
        "ownerSlug": "paultimothymooney",
        "datasetSlug": "chest-xray-pneumonia",
        "datasetVersionNumber": 2,
    }
    assert "Authorization" not in request.headers
    assert len(server.requests) == 2
    assert "4 images (2 NORMAL, 2 PNEUMONIA); left out: 1 further copies, 5 files that are no images\n" in output


def test_numbers_unlike_those_published_are_a_warning(server, workspace):
    output = workspace.run(server)
    (warning,) = [line for line in output.splitlines() if line.startswith("warning: ")]
    assert "1 in train/NORMAL (published: 1341), 1 in train/PNEUMONIA (published: 3875), 0 in test/NORMAL" in warning
    assert warning.endswith("1 in val/NORMAL (published: 8), 0 in val/PNEUMONIA (published: 8)")


def test_the_published_numbers_are_none(tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for place, count in kaggle.PUBLISHED.items():
            for i in range(count):
                archive.writestr(f"chest_xray/{place}/{i}.jpeg", b"")
                archive.writestr(f"chest_xray/chest_xray/{place}/{i}.jpeg", b"")
                archive.writestr(f"__MACOSX/chest_xray/{place}/._{i}.jpeg", b"")
    assert sum(kaggle.PUBLISHED.values()) == 5856
    assert kaggle.unlike_published(tmp_path / "all.zip") == ""


def test_a_rerun_needs_no_network(server, workspace):
    workspace.run(server)
    server.shutdown()
    server.server_close()
    workspace.run(server)
    assert len(server.requests) == 2


@pytest.mark.parametrize("keeper", ["environment", "file"])
def test_credentials_are_sent_and_not_told(server, workspace, keeper):
    if keeper == "environment":
        workspace.run(server, KAGGLE_API_TOKEN=TOKEN, VERBOSE="1")
        assert server.asked[0].headers["Authorization"] == f"Bearer {TOKEN}"
    else:
        (workspace.home / ".kaggle").mkdir()
        (workspace.home / ".kaggle/kaggle.json").write_text(json.dumps({"username": "somebody", "key": KEY}))
        workspace.run(server)
        assert server.asked[0].headers["Authorization"].startswith("Basic ")


@pytest.mark.parametrize("code", [401, 403])
def test_a_refusal_without_credentials_names_the_ways_to_give_them(server, workspace, code):
    server.api = [status(code)]
    line = workspace.fail(server)
    assert f"refuses a download without credentials (Kaggle answers {code}" in line
    for way in ("KAGGLE_API_TOKEN", "~/.kaggle/access_token", "KAGGLE_USERNAME with KAGGLE_KEY", "~/.kaggle/kaggle.json"):
        assert way in line
    assert "local" in line
    assert "phantom" in line
    assert len(server.asked) == 1


@pytest.mark.parametrize("code", [401, 403])
def test_an_old_token_wins_over_a_good_key_and_the_refusal_says_so(server, workspace, code):
    (workspace.home / ".kaggle").mkdir()
    (workspace.home / ".kaggle/kaggle.json").write_text(json.dumps({"username": "somebody", "key": KEY}))
    server.token_is_good = False
    server.api = [status(code, f"<html>{TOKEN}</html>".encode())]
    line = workspace.fail(server, KAGGLE_API_TOKEN=TOKEN)
    assert server.asked[0].headers["Authorization"] == f"Bearer {TOKEN}"
    assert f"refuses these credentials (Kaggle answers {code}" in line
    assert "an old KAGGLE_API_TOKEN wins over kaggle.json" in line
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("step", "told"),
    [
        (status(400), "400 Bad Request"),
        (status(404), "404 Not Found"),
        (status(200, b'{"code": 404, "message": "secret"}', kind="application/json"), "404 Not Found"),
    ],
    ids=["bad", "missing", "missing, said in the body"],
)
def test_what_is_not_there_is_asked_for_once(server, workspace, step, told):
    server.api = [step]
    assert f"does not give {kaggle.DATASET} (Kaggle answers {told})" in workspace.fail(server)
    assert len(server.asked) == 1


def test_a_busy_server_is_given_the_time_it_asks_for(server, workspace):
    server.api = [status(429, Retry_After="2"), None]
    begun = time.monotonic()
    assert "Kaggle answers 429 Too Many Requests; trying again in 2.0 s\n" in workspace.run(server)
    assert time.monotonic() - begun > 2
    assert len(server.asked) == 2


def test_a_busy_server_that_asks_for_more_than_there_is_is_left_at_once(server, workspace):
    server.api = [status(429, Retry_After="3600")]
    assert "429 Too Many Requests, and asks to wait 3600 s; what has come is kept" in workspace.fail(server)
    assert len(server.asked) == 1


@pytest.mark.parametrize("fault", [status(503), drop], ids=["busy", "gone"])
def test_a_server_that_comes_back_is_waited_for(server, workspace, fault):
    server.api = [fault, fault, None]
    output = workspace.run(server)
    assert len(server.asked) == 3
    assert "trying again in 0.5 s\n" in output
    assert "trying again in 1.0 s\n" in output


@pytest.mark.parametrize(
    ("fault", "told"),
    [(status(503), "Kaggle answers 503 Service Unavailable"), (drop, "the connection to Kaggle failed")],
    ids=["busy", "gone"],
)
def test_a_server_that_does_not_is_given_up(server, workspace, fault, told):
    workspace.set(retry_minutes=0.05)
    server.api = [fault]
    line = workspace.fail(server)
    assert told in line
    assert "does not get on" in line
    assert 2 <= len(server.asked) <= 5  # a busy machine has time for one more try alone


def test_a_storage_that_refuses_is_not_asked_again(server, workspace):
    server.whole = [status(403)]
    assert "403 Forbidden" in workspace.fail(server)
    assert len(server.asked) == 1


def test_a_cut_download_goes_on_where_it_was(server, workspace):
    server.whole = [cut(2 * MIB + 1000), None]
    output = workspace.run(server)
    assert "the connection to Kaggle failed" in output
    assert server.ranges == [f"bytes={2 * MIB}-"]


def test_twice_cut_at_one_place_is_given_up_when_time_is_up(server, workspace):
    workspace.set(retry_minutes=0.05)
    server.whole = [cut(2 * MIB)]
    server.resumed = [cut(2 * MIB)]  # a server that begins again each time
    assert "the connection to Kaggle failed" in workspace.fail(server)
    assert len(server.asked) > 2


@pytest.fixture
def interruptible():
    """Let processes that are started hear SIGINT: those that a script runs in the background inherit that it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_download_takes_the_client_along_and_the_next_run_goes_on(server, workspace, end):
    server.whole = [hang(2 * MIB), None]
    with workspace.start(server, sys.executable) as stage:  # a process of its own is what is ended
        assert server.hanging.wait(30)
        while not workspace.archive.exists() or workspace.archive.stat().st_size < 2 * MIB:
            time.sleep(0.05)
        stage.send_signal(end)
        assert server.left.wait(10), "the client lives on"
        output = stage.communicate(timeout=30)[0]
    assert stage.returncode == (130 if end == signal.SIGINT else -end)
    workspace.check(output)
    assert not (workspace.folder / "data/raw").exists()
    workspace.run(server)
    assert server.ranges == [f"bytes={2 * MIB}-"]


def test_two_downloads_do_not_write_one_file(server, workspace):
    server.whole = [hang(2 * MIB)]
    with workspace.start(server, sys.executable) as first:
        assert server.hanging.wait(30)
        assert "another download into it is running" in workspace.fail(server)
        first.kill()
        first.communicate()


def test_an_error_in_place_of_the_rest_does_not_end_up_in_the_zip(server, workspace):
    server.whole = [cut(2 * MIB + 1000), None, status(503), None]  # the client asks for all once more when the rest is refused
    server.resumed = [status(503), None]
    workspace.run(server)
    assert server.ranges == [f"bytes={2 * MIB}-"]


def test_a_spoilt_beginning_that_the_client_completes_is_found_out(server, workspace):
    # What a run that was killed just after that leaves behind: a few bytes of the error, and the marker of the zip.
    workspace.archive.parent.mkdir()
    workspace.archive.write_bytes(b"<html>unavailable</html>")
    marker = workspace.archive.with_name(f"{kaggle.ZIP}.kaggle-partial")
    marker.write_text(json.dumps({"validator": '"v2"', "size": server.content.stat().st_size}))
    output = workspace.run(server)
    assert server.ranges == ["bytes=24-"]
    assert "was not what Kaggle publishes" in output


def test_a_page_in_place_of_the_zip(server, workspace):
    server.whole = [status(200, b"<html>please log in</html>")]
    line = workspace.fail(server)
    assert f"Kaggle sent no whole zip of {kaggle.DATASET} (File is not a zip file), twice" in line
    assert len(server.asked) == 2
    assert [path.name for path in workspace.archive.parent.iterdir()] == [".lock"]


def test_a_page_in_place_of_the_zip_only_once(server, workspace):
    server.whole = [status(200, b"<html>please log in</html>"), None]
    workspace.run(server)


def test_a_cut_that_no_length_betrays(server, workspace):
    server.whole = [cut(2 * MIB, measured=False), None]
    assert "File is not a zip file" in workspace.run(server)


def test_a_zip_of_something_else(server, workspace):
    with zipfile.ZipFile(server.content, "w") as archive:
        archive.writestr("cats/cat.jpeg", b"cat")
    assert "it holds no radiographs" in workspace.fail(server)
    assert not workspace.archive.exists()


def spoil(path: Path) -> None:
    """Change a byte of an image, and neither size nor time."""
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[1_000_000] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_kept_zip_that_has_changed_is_replaced(server, workspace):
    workspace.run(server)
    spoil(workspace.archive)
    assert "is no longer what was downloaded: removed" in workspace.run(server)
    assert len(server.asked) == 2


def test_a_wrong_file_of_the_right_size_that_the_client_calls_complete_is_replaced(server, workspace):
    workspace.archive.parent.mkdir()
    workspace.archive.write_bytes(server.content.read_bytes())
    spoil(workspace.archive)
    assert "Bad CRC-32" in workspace.run(server)
    assert len(server.asked) == 2


@pytest.mark.parametrize("sent", [None, 2 * MIB])
def test_a_silent_server_is_left_and_what_it_sent_is_kept(server, workspace, sent):
    workspace.set(stall_seconds=2)
    server.whole = [hang(sent), None]
    output = workspace.run(server)
    assert "nothing came from Kaggle for 2 s; trying again in" in output
    assert server.left.wait(5)
    assert server.ranges == ([f"bytes={2 * MIB}-"] if sent else [])


def test_a_server_that_stays_silent_is_given_up(server, workspace):
    workspace.set(stall_seconds=1.5, retry_minutes=0.05)
    server.api = [hang(None)]
    assert "does not get on: nothing came from Kaggle for 1.5 s" in workspace.fail(server)


def test_two_images_of_one_name_are_an_error(server, workspace):
    write_zip(server.content, **{"chest_xray/val/PNEUMONIA/person1_virus_1.jpeg": b"another"})
    line = workspace.fail(server)
    assert "chest_xray/train/PNEUMONIA/person1_virus_1.jpeg and chest_xray/val/PNEUMONIA/person1_virus_1.jpeg" in line


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux alone has a file that is always full")
def test_a_full_disk_is_told_at_once(server, workspace):
    workspace.archive.parent.mkdir()
    workspace.archive.symlink_to("/dev/full")
    assert "downloads: No space left on device; what has come is kept" in workspace.fail(server)
    assert len(server.asked) == 1


def test_a_cache_that_cannot_be_made_is_one_line(server, workspace):
    workspace.archive.parent.write_text("a file")
    assert "downloads: File exists; downloads are kept there" in workspace.fail(server)
    assert server.requests == []
