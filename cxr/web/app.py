"""The routes of the page's server. It alone knows Starlette."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cxr.foundation.errors import UserError
from cxr.viewed import Known, Made, Viewed
from cxr.web.describe import described, told
from cxr.web.guard import Application, guarded
from cxr.web.sessions import Held, Most, Session, Sessions
from cxr.web.tasks import Answer, Draw, Drawn, Export, Exported, Failed, Know, Open, Task
from cxr.web.worker import FullError, Limits, Worker

PAGE = Path(__file__).with_name("page")
KINDS = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
BYTES = "application/octet-stream"
MOST_BYTES = 64 << 20
"""Of a radiograph's file."""
SLOWEST, LONGEST = 20.0, 120.0
"""Seconds between two parts of a body, and for all of it."""
UPLOADS = 4
"""Bodies that are read at a time."""
SOON = 1
"""Seconds, after which it may be worth to try again."""
SUFFIXES = {"dcm": ".dcm", "png": ".png", "tif": ".tif"}
TILE = 1024
"""Rows and columns of a tile of the original, at most."""
PHANTOMS = 5000

Wanted = TypeVar("Wanted")


@dataclass
class Server:
    """What the routes share."""

    worker: Worker
    exporter: Worker
    """Saves whole radiographs, so that nobody's view waits for them."""
    sessions: Sessions
    cookie: str
    """Its name: browsers tell ports of one host not apart."""
    demo: bool = False
    """Whether anybody may come, and see phantoms alone."""
    secure: bool = False
    """Whether browsers come by https."""
    audit: IO[str] = field(default_factory=lambda: sys.stdout)
    invited: Callable[[], object] = lambda: None
    """What happens when a token was used."""
    phantoms: int = 0
    uploads: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(UPLOADS))

    def let_in(self, response: Response, session: Session) -> None:
        """Let the browser that gets `response` show later that it has this `session`."""
        response.set_cookie(self.cookie, session.key, httponly=True, samesite="strict", secure=self.secure)

    def note(self, action: str, viewed: Viewed | None = None, **more: object) -> None:
        """Write who did what to which pixels, by which network: no names, no tags, no file names."""
        line: dict[str, object] = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "action": action}
        if viewed:
            line["pixels"] = viewed.digest
        self.audit.write(json.dumps({**line, "model": self.worker.ready.digest, **more}) + "\n")
        self.audit.flush()


def application(
    worker: Worker,
    exporter: Worker,
    sessions: Sessions,
    hosts: tuple[str, ...],
    port: int,
    *,
    demo: bool = False,
    secure: bool = False,
    audit: IO[str] | None = None,
    invited: Callable[[], object] = lambda: None,
) -> Application:
    """Return the whole server as an ASGI application, which answers to `hosts` alone.

    With `demo` everybody is let in, and there is no way to open a file. `invited` is called at the start, and again when a
    browser was let in by a token. Actions are noted in `audit`, or else on standard output.
    """
    server = Server(worker, exporter, sessions, f"cxr-{port}", demo, secure, audit or sys.stdout, invited)
    page = {path.name: (path.read_bytes(), KINDS[path.suffix]) for path in PAGE.iterdir() if path.suffix in KINDS}
    where = "demo" if demo else "remote" if secure else "local"
    index = page["index.html"][0].replace(b'data-where="local"', f'data-where="{where}"'.encode())

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with worker.taking_turns(), exporter.taking_turns():
            forgetting = asyncio.create_task(_forget(sessions))
            invited()
            yield
            forgetting.cancel()

    def file(name: str) -> Callable[[Request], Awaitable[Response]]:
        async def send(_: Request) -> Response:
            content, kind = page[name]
            return Response(content, media_type=kind)

        return send

    of = "/radiographs/{id}"
    routes = [
        Route("/", _entered(server, index)),
        *(Route(f"/{name}", file(name)) for name in page if name != "index.html"),
        Route("/favicon.ico", _no_icon),
        Route("/health", _health(server)),
        Route("/phantoms", _with(server, _phantom), methods=["POST"]),
        Route("/radiographs", _with(server, _list)),
        Route(of, _with(server, _close), methods=["DELETE"]),
        Route(f"{of}/values/{{row:int}}/{{column:int}}", _with(server, _values)),
        Route(f"{of}/table", _with(server, _table)),
        Route(f"{of}/told", _with(server, _arrival)),
        Route(f"{of}/enhanced/{{scale:int}}/{{row:int}}/{{column:int}}", _with(server, _tile)),
        Route(f"{of}/result/{{kind}}/{{scale:int}}/{{percent:int}}", _with(server, _result)),
    ]
    if not demo:
        routes.append(Route("/radiographs", _with(server, _open), methods=["PUT"]))
    handlers: dict[Any, Any] = {HTTPException: _told, 500: _failed}
    starlette: Any = Starlette(routes=routes, exception_handlers=handlers, lifespan=lifespan)
    return guarded(starlette, hosts)


async def _forget(sessions: Sessions) -> None:
    while True:
        await asyncio.sleep(min(sessions.most.idle_seconds / 4, 60))
        sessions.forget()


async def _no_icon(_: Request) -> Response:
    return Response(status_code=204)


async def _told(_: Request, error: HTTPException) -> Response:
    return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)


async def _failed(_request: Request, _error: Exception) -> Response:
    return JSONResponse({"error": "the server failed at this; see its terminal"}, 500)


def _entered(server: Server, page: bytes) -> Callable[[Request], Awaitable[Response]]:
    """Return the route of the page, by which browsers with a token, or of a demo all, get their session."""

    async def enter(request: Request) -> Response:
        response = Response(page, media_type=KINDS[".html"])
        if server.demo or server.sessions.of(request.cookies.get(server.cookie, "")):
            return response  # of a demo a session begins with its first phantom
        if request.method != "GET":  # such as a preview of the link, which must not use it up
            raise HTTPException(405, "open the address in a browser")
        try:
            session = server.sessions.enter(request.query_params.get("token", ""))
        except UserError as error:
            raise HTTPException(503, str(error), {"Retry-After": "60"}) from None
        if session is None:
            raise HTTPException(403, "open the address that the terminal shows; each lets one browser in, once")
        server.let_in(response, session)
        server.invited()
        return response

    return enter


def _health(server: Server) -> Callable[[Request], Awaitable[Response]]:
    async def health(_: Request) -> Response:
        return JSONResponse({"waiting": server.worker.waiting, "replaced": server.worker.replaced})

    return health


def _with(
    server: Server, route: Callable[[Request, Server, Session], Awaitable[Response]]
) -> Callable[[Request], Awaitable[Response]]:
    """Return `route` for browsers that were let in."""

    async def call(request: Request) -> Response:
        session = server.sessions.of(request.cookies.get(server.cookie, ""))
        if session is None and server.demo and route is _phantom:
            session = server.sessions.begin()
        if session is None:
            raise HTTPException(403, "this page is over; open the address that the terminal shows")
        response = await route(request, server, session)
        if server.demo and request.cookies.get(server.cookie, "") != session.key:
            server.let_in(response, session)
        return response

    return call


def _held(request: Request, session: Session) -> Held:
    held = session.held.get(request.path_params["id"])
    if held is None:
        raise HTTPException(404, "this radiograph is not open, or was forgotten; open it again")
    return held


async def _asked(
    worker: Worker, session: Session, request: Request, task: Task, kind: type[Wanted], distance: float = 0.0
) -> Wanted:
    """Return the worker's answer, of `kind`. Whoever goes away before that gives up the turn."""

    async def gone() -> None:
        while not await request.is_disconnected():
            await asyncio.sleep(0.05)

    try:
        asking: asyncio.Task[Answer] = asyncio.create_task(worker.ask(task, session.key, distance))
        leaving = asyncio.create_task(gone())
        await asyncio.wait([asking, leaving], return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()
        if not asking.done():
            asking.cancel()
            raise HTTPException(499, "nobody waits for this")
        answer = asking.result()
    except FullError:
        raise HTTPException(503, "too much waits already; try again", {"Retry-After": str(SOON)}) from None
    if isinstance(answer, Failed):
        raise HTTPException(409 if answer.refused else 422, answer.reason)
    if not isinstance(answer, kind):
        raise TypeError(f"the worker answered {type(answer).__name__}")
    return answer


async def _body(request: Request) -> bytes:
    """Return the body. Raises HTTPException when it is too long, or too slow."""
    announced = request.headers.get("content-length", "0")
    too_long = HTTPException(413, f"the file has more than the {MOST_BYTES >> 20} MB that the page takes; use cxr enhance")
    if not announced.isdecimal() or int(announced) > MOST_BYTES:
        raise too_long
    content, stream = bytearray(), aiter(request.stream())
    end = asyncio.get_running_loop().time() + LONGEST
    try:
        while True:
            async with asyncio.timeout_at(min(end, asyncio.get_running_loop().time() + SLOWEST)):
                part = await anext(stream)
            content += part
            if len(content) > MOST_BYTES:
                raise too_long
    except StopAsyncIteration:
        return bytes(content)
    except TimeoutError:
        raise HTTPException(408, "the file came too slowly") from None
    except ClientDisconnect:
        raise HTTPException(499, "nobody waits for this") from None


def _kept(server: Server, session: Session, held: Held, action: str) -> Response:
    try:
        name = server.sessions.keep(session, held)
    except UserError as error:
        raise HTTPException(413, str(error)) from None
    server.note(action, held.viewed)
    return JSONResponse(_said(server, name, held), 201)


def _said(server: Server, name: str, held: Held) -> dict[str, Any]:
    ready = server.worker.ready
    return {"id": name, "network": ready.network, "model": ready.digest, **described(held.viewed)}


async def _list(_: Request, server: Server, session: Session) -> Response:
    """Return what the browser has open: a page that was loaded anew asks for it, and to stay known."""
    return JSONResponse([_said(server, name, held) for name, held in session.held.items()])


async def _open(request: Request, server: Server, session: Session) -> Response:
    async with server.uploads:
        content = await _body(request)
    viewed = await _asked(server.worker, session, request, Open(content), Viewed)
    return _kept(server, session, Held(content, viewed), "open")


async def _phantom(request: Request, server: Server, session: Session) -> Response:
    server.phantoms = (server.phantoms + 1) % PHANTOMS
    drawn = await _asked(server.worker, session, request, Draw(server.phantoms), Drawn)
    return _kept(server, session, Held(*drawn), "draw")


async def _close(request: Request, server: Server, session: Session) -> Response:
    held = _held(request, session)
    del session.held[request.path_params["id"]]
    server.note("close", held.viewed)
    return Response(status_code=204)


def _bytes(values: Any) -> bytes:
    return bytes(np.ascontiguousarray(values, "<u2").tobytes())


async def _values(request: Request, _: Server, session: Session) -> Response:
    values = _held(request, session).viewed.shown
    row, column = (request.path_params[name] * TILE for name in ("row", "column"))
    part = values[row : row + TILE, column : column + TILE]
    if not part.size:
        raise HTTPException(404, "there is no such tile")
    return Response(_bytes(part), media_type=BYTES)


async def _table(request: Request, _: Server, session: Session) -> Response:
    table = _held(request, session).viewed.presentation.table
    if table is None:
        raise HTTPException(404, "this radiograph is shown through a window")
    return Response(_bytes(np.pad(table, (0, (1 << 16) - len(table)), "edge")), media_type=BYTES)


async def _known(request: Request, server: Server, session: Session, held: Held) -> Known:
    """Return what came in, which is found out once: after the original was shown, so that nobody waits for it."""
    if held.known is None:
        of = replace(held.viewed, corners=None, presentation=held.viewed.presentation._replace(table=None))
        held.known = await _asked(server.worker, session, request, Know(of), Known)
    return held.known


async def _arrival(request: Request, server: Server, session: Session) -> Response:
    return JSONResponse(told(await _known(request, server, session, _held(request, session))))


async def _tile(request: Request, server: Server, session: Session) -> Response:
    held = _held(request, session)
    scale, row, column = (request.path_params[name] for name in ("scale", "row", "column"))
    known = await _known(request, server, session, held)
    cap, why = known.limits.get(scale, (0.0, f"the network was not trained for x{scale}"))
    if not cap:
        raise HTTPException(409, why)
    try:
        distance = float(request.query_params.get("distance", "0"))
        piece = held.viewed.piece(known, scale, row, column)
    except ValueError:
        raise HTTPException(404, "there is no such tile") from None
    made = await _asked(server.worker, session, request, piece, Made, distance)
    headers = {"x-off": f"{made.off:.6f}", "x-rows": str(made.values.shape[0]), "x-columns": str(made.values.shape[1])}
    return Response(_bytes(made.values), media_type=BYTES, headers=headers)


async def _result(request: Request, server: Server, session: Session) -> Response:
    held = _held(request, session)
    kind, scale, percent = (request.path_params[name] for name in ("kind", "scale", "percent"))
    if kind not in SUFFIXES or scale not in server.worker.ready.scales or not 0 <= percent <= 100:
        raise HTTPException(404, "there is no such result")
    task = Export(held.content, SUFFIXES[kind], scale, percent / 100, datetime.now())
    made = await _asked(server.exporter, session, request, task, Exported)
    server.note("export", held.viewed, kind=kind, scale=scale, strength=made.strength)
    return Response(made.content, media_type=BYTES, headers={"x-strength": f"{made.strength:g}"})


__all__ = ["Limits", "Most", "application"]
