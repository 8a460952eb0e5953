"""What the user reads while a command runs."""

import os
import sys
from pathlib import Path

from tqdm import tqdm


def shown(path: Path | str) -> str:
    """Return the name `path` as any screen and picture can show it in one line: names are bytes, of any encoding or none."""
    text = os.fsencode(path).decode("utf-8", "replace")
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def say(text: str) -> None:
    """Print `text`, in what the screen's encoding has. Once nobody reads any longer, as after `| head`, print nothing more."""
    encoding = sys.stdout.encoding or "utf-8"
    try:
        tqdm.write(text.encode(encoding, "replace").decode(encoding))
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
