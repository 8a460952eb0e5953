"""A user's mistake, told in one line."""

import errno
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """A mistake that the user can mend: the message says what was wrong, which value or file, and what to do."""


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End the process with one line and exit code 1 on a UserError and a full disk, and with no word and 130 on Ctrl-C.

    Every other exception is let through.
    """
    try:
        yield
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        sys.exit(f"error: {error.filename or 'a file'}: {error.strerror}; make room and run it again")
