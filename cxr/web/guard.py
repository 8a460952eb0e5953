"""What every request must be like, and what every answer says: the server's side of the browser's safety."""

import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), usb=()",
}
"""Of every answer: `connect-src 'self'` lets the browser itself see to it that nothing leaves for elsewhere."""


def guarded(application: Application, hosts: Iterable[str]) -> Application:
    """Return `application` behind what it need not see: requests to other `hosts`, from other sites, or compressed.

    A page of another site could reach a server on loopback by a name of its own that leads here (DNS rebinding), or by the
    browser's cookies; a compressed body could grow without end.
    """
    allowed = {host.lower() for host in hosts}

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await application(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [(name, value) for name, value in message.get("headers", []) if name.decode().lower() not in HEADERS]
                message["headers"] = [*kept, *((name.encode(), value.encode()) for name, value in HEADERS.items())]
            await send(message)

        given = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if refusal := _refusal(given, allowed):
            status, reason = refusal
            body = json.dumps({"error": reason}).encode()
            headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
            await send_with_headers({"type": "http.response.start", "status": status, "headers": headers})
            await send_with_headers({"type": "http.response.body", "body": body})
            return
        await application(scope, receive, send_with_headers)

    return call


def _refusal(given: dict[str, str], allowed: set[str]) -> tuple[int, str] | None:
    """Return with which status and why a request with the headers `given` is refused, or None."""
    if given.get("host", "").lower() not in allowed:
        return 400, "this server is known by another name"
    # A link from elsewhere may lead to the page; nothing else of another site may come here.
    site, mode = given.get("sec-fetch-site", "same-origin"), given.get("sec-fetch-mode", "")
    if site not in {"same-origin", "none"} and mode != "navigate":
        return 403, "this comes from another site"
    origin = given.get("origin")
    if origin is not None and origin.split("://")[-1].lower() not in allowed:
        return 403, "this comes from another site"
    if given.get("content-encoding", "identity").lower() != "identity":
        return 415, "send the file as it is, not compressed"
    return None
