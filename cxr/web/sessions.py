"""Who has opened what: radiographs in memory, owned by a browser, and forgotten in time."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from cxr.foundation.errors import UserError
from cxr.viewed import Known, Viewed


@dataclass
class Held:
    """A radiograph in memory."""

    content: bytes
    """Its file."""
    viewed: Viewed
    known: Known | None = None
    """What came in, once it was found out."""

    @property
    def size(self) -> int:
        """Return how many bytes it takes."""
        padding = self.viewed.padding
        return len(self.content) + self.viewed.values.nbytes + (0 if padding is None else padding.nbytes)


class Most(NamedTuple):
    """How much is kept, and how long."""

    radiographs: int = 64
    """Of a browser."""
    size: int = 4 << 30
    """Bytes in all."""
    browsers: int = 64
    idle_seconds: float = 3600.0
    """After which all that a browser has opened is forgotten."""
    evicts: bool = False
    """Whether, beyond so many browsers, the one that was idle longest has to go."""


@dataclass
class Session:
    """What one browser has opened."""

    key: str
    used: float
    held: dict[str, Held] = field(default_factory=dict)


class Sessions:
    """All browsers that have shown a token."""

    def __init__(self, most: Most = Most(), now: Callable[[], float] = time.monotonic) -> None:  # noqa: B008 - a tuple
        self.most, self.now = most, now
        self._sessions: dict[str, Session] = {}
        self._tokens: set[str] = set()

    def invite(self) -> str:
        """Return a token that lets one browser in, once."""
        token = secrets.token_urlsafe(24)
        self._tokens.add(token)
        return token

    def enter(self, token: str) -> Session | None:
        """Return a new session for a browser that shows `token`, or None if it was none, or used before.

        Raises UserError when there are too many; the token is then still good.
        """
        known = next((each for each in self._tokens if secrets.compare_digest(each.encode(), token.encode())), None)
        if known is None:
            return None
        session = self.begin()
        self._tokens.remove(known)
        return session

    def begin(self) -> Session:
        """Return a new session. Raises UserError when there are too many."""
        self.forget()
        if len(self._sessions) >= self.most.browsers and self.most.evicts:
            del self._sessions[min(self._sessions, key=lambda key: self._sessions[key].used)]
        if len(self._sessions) >= self.most.browsers:
            raise UserError("too many browsers are open already; try again later")
        session = Session(secrets.token_urlsafe(24), self.now())
        self._sessions[session.key] = session
        return session

    def of(self, key: str) -> Session | None:
        """Return the session with the `key`, if it is there and not over; it counts as used."""
        self.forget()
        session = self._sessions.get(key)
        if session:
            session.used = self.now()
        return session

    def keep(self, session: Session, held: Held) -> str:
        """Keep a radiograph for `session`, and return its id. Raises UserError when there is no room.

        Where sessions are evicted, so are a session's own oldest radiographs.
        """
        while self.most.evicts and len(session.held) >= self.most.radiographs:
            del session.held[next(iter(session.held))]
        if len(session.held) >= self.most.radiographs:
            raise UserError(f"{len(session.held)} radiographs are open; close one first")
        if self.size + held.size > self.most.size:
            raise UserError("the server's memory for radiographs is full; close one first")
        name = secrets.token_urlsafe(16)
        session.held[name] = held
        return name

    @property
    def size(self) -> int:
        """Return how many bytes all radiographs take."""
        return sum(held.size for session in self._sessions.values() for held in session.held.values())

    def forget(self) -> None:
        """Forget sessions that were not used for too long, and all that they hold."""
        for key in [key for key, each in self._sessions.items() if self.now() - each.used > self.most.idle_seconds]:
            del self._sessions[key]
