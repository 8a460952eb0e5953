"""A server of the page in a process of its own, and a client that is no browser."""

import contextlib
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from cxr.foundation.place import ROOT

RUN = "from cxr.cli.main import run; run()"


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def said(self) -> Any:
        return json.loads(self.content)


@dataclass
class Serving:
    """A server that runs."""

    process: subprocess.Popen[str]
    port: int
    lines: list[str] = field(default_factory=list)
    """Of its standard output and error."""
    new: threading.Condition = field(default_factory=threading.Condition)

    def listen(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            with self.new:
                self.lines.append(line.rstrip("\n"))
                self.new.notify_all()

    def invitation(self, number: int = -1) -> str:
        """Return the address that the server printed last, once there is one."""
        with self.new:
            assert self.new.wait_for(lambda: self.addresses or self.process.poll() is not None, 120), self.lines
        return self.addresses[number]

    @property
    def addresses(self) -> list[str]:
        return [found[1] for line in self.lines if (found := re.match(r"open (http\S+)", line))]

    def ask(self, method: str, path: str, body: Any = None, cookie: str = "", **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if cookie:
            given["cookie"] = cookie
        connection.request(method, path, body, given, encode_chunked=False)
        answer = connection.getresponse()
        found = Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        connection.close()
        return found

    def browser(self) -> "Browser":
        """Return a client that was let in."""
        count = len(self.addresses)
        with self.new:
            assert self.new.wait_for(lambda: self.addresses, 120), self.lines
        answer = self.ask("GET", "/" + self.addresses[-1].partition("/?")[2].join(["?", ""]))
        assert answer.status == 200, answer
        with self.new:  # the next invitation
            assert self.new.wait_for(lambda: len(self.addresses) > max(count, 1), 20), self.lines
        return Browser(self, answer.headers["set-cookie"].partition(";")[0])


@dataclass
class Browser:
    serving: Serving
    cookie: str

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        return self.serving.ask(method, path, body, self.cookie, **headers)

    def open(self, content: bytes) -> Any:
        answer = self.ask("PUT", "/radiographs", content)
        assert answer.status == 201, answer
        return answer.said

    def told(self, opened: Any) -> Any:
        """Return what is known of a radiograph that was opened."""
        answer = self.ask("GET", f"/radiographs/{opened['id']}/told")
        assert answer.status == 200, answer
        return answer.said


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextlib.contextmanager
def serving(folder: Path, *arguments: str, threads: int = 1) -> Iterator[Serving]:
    """Run `cxr serve` in `folder`, with so many threads, or of all cores if 0, and end it."""
    port = free_port()
    call = [sys.executable, "-c", RUN, "serve", "--port", str(port), *arguments]
    env = {**os.environ, "PYTHONPATH": str(ROOT)} | ({"OMP_NUM_THREADS": str(threads)} if threads else {})
    process = subprocess.Popen(call, cwd=folder, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    found = Serving(process, port)
    listener = threading.Thread(target=found.listen, daemon=True)
    listener.start()
    try:
        found.invitation()
        yield found
    finally:
        process.terminate()
        process.wait(20)
        listener.join(5)
