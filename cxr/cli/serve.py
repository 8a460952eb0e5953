"""Serve the page for doctors: look at radiographs, and enhance what is on screen in real time. For research, not for diagnosis.

    cxr serve [--port N] [--model edsr|vdsr|srcnn|FILE] [--audit FILE] [--behind-proxy HOST]
    cxr serve --demo                  phantoms alone, and no way to open a file: fit for a public host

It listens on this computer alone and prints an address with a token that lets one browser in, once; then the next one.
Radiographs are kept in memory, belong to the browser that opened them, and are forgotten after an hour without use.
With --behind-proxy a reverse proxy on this computer, which sees to https and to who may come, passes on requests to HOST.
"""

import argparse
import contextlib
import os
import resource
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from cxr.foundation.access import private
from cxr.foundation.errors import UserError
from cxr.superres.methods import NETWORKS

LOOPBACK = "127.0.0.1"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - for a demo alone, which shows no person
PORT = 8600
FAST = "edsr"
"""The network that enhances soonest what is on screen."""
EXPORT_SECONDS = 1800.0
"""For a whole radiograph by the slowest network."""
DEMO_IDLE = 600.0
"""Seconds, after which a demo forgets a visitor."""


def main(arguments: Sequence[str], prog: str = "cxr serve") -> None:
    """Serve until interrupted, as the command line `arguments` say."""
    given = _parsed(arguments, prog)
    if given.host != LOOPBACK and not (given.demo and given.host == EVERYWHERE and given.behind_proxy):
        raise UserError(
            f"--host {given.host}: this server listens on {LOOPBACK} alone; put a reverse proxy before it, see docs/web.md"
        )
    try:
        import uvicorn  # noqa: PLC0415 - who does not serve need not have it

        from cxr.web.app import application  # noqa: PLC0415
        from cxr.web.sessions import Most, Sessions  # noqa: PLC0415
        from cxr.web.worker import Limits, Worker  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise UserError(f"the page needs {error.name}; pip install 'chest-xray-superres[web]'") from None
    most = Most(radiographs=4, size=1 << 30, browsers=100, idle_seconds=DEMO_IDLE, evicts=True) if given.demo else Most()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # which would hold radiographs
    sessions = Sessions(most)
    proxy = given.behind_proxy
    hosts = tuple(filter(None, (f"{LOOPBACK}:{given.port}", f"localhost:{given.port}", proxy)))
    shown = f"https://{proxy}" if proxy else f"http://{LOOPBACK}:{given.port}"

    def invite() -> None:
        print(f"open {shown}/" + ("" if given.demo else f"?token={sessions.invite()}"), flush=True)

    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # of the workers: a browser on the same cores is not kept from drawing
    worker = Worker(given.model)
    exporter = Worker(given.model, Limits(seconds=EXPORT_SECONDS, files=1, waiting=2))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that what is below is cleaned up
    with contextlib.ExitStack() as stack:
        audit = sys.stdout
        if given.audit:
            with private(given.audit):
                audit = stack.enter_context(given.audit.open("a", encoding="utf-8"))
        found = stack.enter_context(listening(given.host, given.port))
        for each in (worker, exporter):
            stack.callback(each.close)
        worker.begin()
        made = application(
            worker, exporter, sessions, hosts, given.port, demo=given.demo, secure=bool(proxy), audit=audit, invited=invite
        )
        config = uvicorn.Config(
            made,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            log_level="error",
            limit_concurrency=512,
            timeout_keep_alive=10,
            timeout_graceful_shutdown=2,
            h11_max_incomplete_event_size=32 << 10,
        )
        uvicorn.Server(config).run(sockets=[found])


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens. Raises UserError when the port is taken."""
    # Told by its protocol, asyncio sends all parts of an answer at once; else each waits 40 ms for the one before.
    found = socket.socket(proto=socket.IPPROTO_TCP)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
        found.listen(128)  # at once, so that whoever opens the address that is printed is heard
    except OSError as error:
        found.close()
        raise UserError(f"port {port}: {error.strerror}; give another one with --port") from None
    return found


def _parsed(arguments: Sequence[str], prog: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=prog, description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--host", default=LOOPBACK, help=f"{LOOPBACK}; of a demo also {EVERYWHERE}; others come through a proxy"
    )
    parser.add_argument("--port", type=int, default=PORT)
    parser.add_argument("--model", default=FAST, help=f"{', '.join(NETWORKS)} ({FAST} by default) or a model file")
    parser.add_argument("--demo", action="store_true", help="phantoms alone: no way to open a file, and no token")
    parser.add_argument("--audit", type=Path, help="a file for a line an action, instead of standard output")
    parser.add_argument("--behind-proxy", default="", metavar="HOST", help="the name by which a reverse proxy is called")
    return parser.parse_args(arguments)
