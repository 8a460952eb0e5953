"""What the server asks of its worker process, and what comes back. No torch."""

from datetime import datetime
from typing import NamedTuple

from cxr.viewed import Known, Made, Piece, Viewed


class Open(NamedTuple):
    """Decode a radiograph's file; the answer is a Viewed."""

    content: bytes


class Know(NamedTuple):
    """Find out what came in, and what may be done with it; the answer is a Known."""

    of: Viewed


class Draw(NamedTuple):
    """Draw a phantom; the answer is a Drawn."""

    number: int


class Export(NamedTuple):
    """Enhance a whole file, as `cxr enhance` does; the answer is an Exported."""

    content: bytes
    suffix: str
    scale: int
    strength: float
    now: datetime


Task = Open | Draw | Know | Export | Piece


class Drawn(NamedTuple):
    """A phantom: its file, and what a viewer needs."""

    content: bytes
    viewed: Viewed


class Exported(NamedTuple):
    """A result's file."""

    content: bytes
    strength: float
    """How strongly the network was used."""


class Failed(NamedTuple):
    """Why nothing came of a task: one line for the user."""

    reason: str
    refused: bool = False
    """Whether it would do harm."""


class Ready(NamedTuple):
    """The worker's first word."""

    network: str
    """Its title."""
    digest: str
    scales: tuple[int, ...]


Answer = Viewed | Drawn | Known | Made | Exported | Failed
