"""Kaggle on loopback: the API and the storage that it redirects to, with faults on demand.

Kaggle's client is pointed here by its own setting for a local API and by a proxy, so that nothing of it is patched.
"""

import contextlib
import functools
import json
import random
import threading
import zipfile
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

SIGNATURE = "secret-signature"
DOWNLOAD = "/api/v1/datasets.DatasetApiService/DownloadDataset"
INTROSPECT = "/api/v1/security.OAuthService/IntrospectToken"

IMAGES = {  # name and size
    "train/NORMAL/IM-0001-0001.jpeg": 1_500_000,
    "train/PNEUMONIA/person1_virus_1.jpeg": 1_100_000,
    "test/PNEUMONIA/person2_bacteria_3.jpeg": 900_000,
    "val/NORMAL/IM-0002-0001.jpeg": 10,
}


@functools.cache
def content(name: str) -> bytes:
    return random.Random(name).randbytes(IMAGES[name])


def write_zip(path: Path, **more: bytes) -> Path:
    """Write a zip in Kaggle's layout: the tree twice, and litter."""
    with zipfile.ZipFile(path, "w") as archive:
        for name in IMAGES:
            archive.writestr(f"chest_xray/{name}", content(name))
            archive.writestr(f"chest_xray/__MACOSX/{name.rpartition('/')[0]}/._{Path(name).name}", b"litter")
        archive.writestr("chest_xray/.DS_Store", b"litter")
        name = "val/NORMAL/IM-0002-0001.jpeg"
        archive.writestr(f"chest_xray/chest_xray/{name}", content(name))
        for place, data in more.items():
            archive.writestr(place, data)
    return path


class Request:
    def __init__(self, handler: BaseHTTPRequestHandler) -> None:
        self.path = urlsplit(handler.path).path
        self.headers = dict(handler.headers.items())
        self.body = json.loads(handler.rfile.read(int(self.headers.get("Content-Length", 0))) or "null")


class Handler(BaseHTTPRequestHandler):
    server: "Kaggle"

    def do_POST(self) -> None:
        request = Request(self)
        self.server.requests.append(request)
        if request.path == INTROSPECT:
            self.answer(
                200, json.dumps({"active": self.server.token_is_good, "username": "somebody"}).encode(), "application/json"
            )
        elif request.path == DOWNLOAD:
            self.act(self.server.api, redirect)
        else:
            self.answer(404)

    def do_GET(self) -> None:
        request = Request(self)
        self.server.requests.append(request)
        if "Range" in request.headers:
            start = int(request.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            self.act(self.server.resumed, lambda handler: handler.send_file(start))
        else:
            self.act(self.server.whole, lambda handler: handler.send_file())

    def act(self, script: list["Step"], otherwise: "Step") -> None:
        """Take the next step of `script`, of which the last is for ever."""
        step = script.pop(0) if len(script) > 1 else script[0] if script else otherwise
        (step or otherwise)(self)

    def answer(self, status: int, body: bytes = b"", kind: str = "text/html", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def send_file(self, start: int = 0, end: int | None = None, measured: bool = True) -> None:
        """Send the bytes from `start` to `end` of the file, announcing all the rest if at all."""
        content = self.server.content.read_bytes()
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if measured:
            self.send_header("Content-Length", str(len(content) - start))
            self.send_header("ETag", '"v2"')
            self.send_header("Accept-Ranges", "bytes")
        self.send_header("Last-Modified", "Sat, 24 Mar 2018 19:41:59 GMT")
        self.end_headers()
        with contextlib.suppress(OSError):  # the client reads only the head of an answer when it wants but the rest of a file
            self.wfile.write(content[start:end])

    def log_message(self, *_: Any) -> None:
        pass


Step = Callable[[Handler], None] | None
"""What to do about a request; None: what Kaggle does when all is well."""


def redirect(handler: Handler) -> None:
    handler.answer(302, Location=f"http://storage.localhost/chest-xray-pneumonia.zip?X-Goog-Signature={SIGNATURE}")


def status(code: int, body: bytes = b"<html>no</html>", **headers: str) -> Step:
    return lambda handler: handler.answer(code, body, **headers)


def cut(end: int, measured: bool = True) -> Step:
    """Send the file up to `end` and close the connection."""
    return lambda handler: handler.send_file(0, end, measured)


def drop(handler: Handler) -> None:
    """Close the connection with no answer."""
    handler.close_connection = True


def hang(end: int | None) -> Step:
    """Send the file up to `end` (None: not even a head) and then nothing more, until the client goes away."""

    def step(handler: Handler) -> None:
        if end is not None:
            handler.send_file(0, end)
        handler.server.hanging.set()
        handler.connection.recv(1)
        handler.server.left.set()

    return step


class Kaggle(ThreadingHTTPServer):
    """A server of the file `content`.

    Its scripts are lists of steps, one for each request of its kind; the last of a list is for ever.
    """

    daemon_threads = True

    def __init__(self, content: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = content
        self.token_is_good = True
        self.api: list[Step] = []
        self.whole: list[Step] = []
        self.resumed: list[Step] = []
        self.requests: list[Request] = []
        self.hanging, self.left = threading.Event(), threading.Event()

    def __enter__(self) -> "Kaggle":
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.shutdown()
        self.server_close()

    @property
    def environment(self) -> dict[str, str]:
        """What points the client here."""
        proxy = f"http://127.0.0.1:{self.server_port}"
        return {"KAGGLE_API_ENVIRONMENT": "LOCALHOST", "HTTP_PROXY": proxy, "http_proxy": proxy}

    @property
    def asked(self) -> list[Request]:
        """Requests for the data set."""
        return [request for request in self.requests if request.path == DOWNLOAD]

    @property
    def ranges(self) -> list[str]:
        """From where the rest of the file was asked for."""
        return [request.headers["Range"] for request in self.requests if "Range" in request.headers]
