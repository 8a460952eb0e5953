"""A user's mistake, told in one line."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """A mistake that the user can mend: the message says what was wrong, which value or file, and what to do."""


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End the process with one line and exit code 1 on a UserError; let every other exception through."""
    try:
        yield
    except UserError as error:
        sys.exit(f"error: {error}")
