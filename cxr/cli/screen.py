"""What the user reads while a command runs."""

import os
import sys
from pathlib import Path

from tqdm import tqdm

from cxr.foundation.errors import UserError


class ScreenError(UserError):
    """What the user should read cannot be written, which is the fault of no radiograph."""


def shown(path: Path | str) -> str:
    """Return the name `path` as any screen and picture can show it in one line: names are bytes, of any encoding or none."""
    text = os.fsencode(path).decode("utf-8", "replace")
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def on_terminal() -> bool:
    """Tell whether the user alone reads what is printed."""
    return sys.stdout is not None and sys.stdout.isatty()


def say(text: str) -> None:
    """Print `text`, in what the screen's encoding has. Once nobody reads any longer, as after `| head`, print nothing more.

    Raises ScreenError when what is printed goes to a disk, and that does not take it.
    """
    if sys.stdout is None:  # closed by whoever started the command
        return
    encoding = sys.stdout.encoding or "utf-8"
    try:
        tqdm.write(text.encode(encoding, "replace").decode(encoding))
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that what is left to print raises no more
        if not isinstance(error, BrokenPipeError):
            raise ScreenError(f"what the command prints cannot be written: {error.strerror}; results are there") from None
