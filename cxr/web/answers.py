"""What the worker process does for each task."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from cxr.api import enhance_file, load_model
from cxr.formats.decode import Unusable
from cxr.foundation.errors import RefusedError, UserError
from cxr.live import know, look_at, make, refuse_far_sighted
from cxr.sources.phantom.cohort import name_of
from cxr.sources.phantom.pictures import write_png
from cxr.sources.phantom.scene import draw
from cxr.superres.enhance import enhance
from cxr.superres.methods import TITLES
from cxr.viewed import Piece
from cxr.web.tasks import Answer, Draw, Drawn, Export, Exported, Failed, Know, Open, Task

PHANTOM_SIZE, PHANTOM_BITS = 1024, 12
WARM = 128
"""Rows and columns of what the network is warmed up with."""
THIS = "the radiograph"
"""What messages call a file, whose name in here means nothing."""
OPTIONS = " (--or-bicubic interpolates it)", "; cxr enhance --any-modality may take it"
"""Advice that is of use on the command line alone."""


class Answers:
    """A network, and what is asked of it."""

    def __init__(self, network: str, folder: Path, most_pixels: int) -> None:
        """Load and warm up `network`. Raises UserError when it is none."""
        self.model, self.folder, self.most_pixels = load_model(network), folder, most_pixels
        refuse_far_sighted(self.model)
        self.title = TITLES[self.model.name]
        for scale in self.model.networks:
            enhance(self.model, np.zeros((WARM, WARM), np.uint16), scale)

    def to(self, task: Task) -> Answer:
        """Return what comes of `task`: what was asked for, or one line that says why not."""
        match task:
            case Piece():
                return make(self.model, task)
            case Know():
                try:
                    return know(task.of, self.model)
                except UserError as error:  # such as a damaged file of limits
                    return Failed(str(error))
            case Draw():
                return self._drawn(task)
            case Open() | Export():
                return self._of_file(task)

    def _of_file(self, task: Open | Export) -> Answer:
        with self._file(task.content) as source:
            try:
                return self._made(task, source) if isinstance(task, Export) else look_at(source, self.most_pixels)
            except (UserError, Unusable) as error:
                reason = str(error).replace(f"{source}: ", "").replace(str(source), THIS)
                for advice in OPTIONS:
                    reason = reason.replace(advice, "")
                return Failed(reason, isinstance(error, RefusedError))
            except OSError as error:
                return Failed(f"{THIS}: {error.strerror or type(error).__name__}")

    @contextmanager
    def _file(self, content: bytes) -> Iterator[Path]:
        """Keep `content` in a file while it is read."""
        path = self.folder / secrets.token_hex(8)
        try:
            path.touch(mode=0o600)
            path.write_bytes(content)
            yield path
        finally:
            path.unlink(missing_ok=True)

    def _made(self, task: Export, source: Path) -> Exported:
        target = source.with_name(f"{source.name}-made{task.suffix}")
        try:
            made = enhance_file(
                source, target, self.model, task.scale, now=task.now, strength=task.strength, or_bicubic=not task.strength
            )
            return Exported(made.path.read_bytes(), made.strength)
        finally:
            target.unlink(missing_ok=True)

    def _drawn(self, task: Draw) -> Drawn:
        """Return phantom `task.number`, as a PNG of 12 bits."""
        path = self.folder / f"{secrets.token_hex(8)}-{name_of(task.number)}.png"
        try:
            write_png(path, draw(0, task.number, PHANTOM_SIZE, PHANTOM_BITS).pixels, PHANTOM_BITS)
            return Drawn(path.read_bytes(), look_at(path, self.most_pixels))
        finally:
            path.unlink(missing_ok=True)
