"""A user's mistake, told in one line."""

import errno
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# What the user can do about what the system says of a disk.
REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "make room"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "get permission for it"),
    **dict.fromkeys((errno.EIO, errno.ENXIO, errno.ENODEV, errno.ESTALE, errno.ENOTCONN), "see to its disk"),
}

REFUSED = 3
"""The exit code of a process that was asked for what would do harm."""


class UserError(Exception):
    """A mistake that the user can mend: the message says what was wrong, which value or file, and what to do."""


class RefusedError(UserError):
    """What the program will not do, since it would do harm: no mistake, but nothing is made."""


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End the process with one line and exit code 1 on a UserError and on what ails a disk or a file; with 130 on Ctrl-C.

    What is `RefusedError` ends it with 3.

    Every other exception is let through, among them those of the system that name no file.
    """
    try:
        yield
    except RefusedError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(REFUSED)
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except OSError as error:
        if not of_the_disk(error) and error.filename is None:
            raise
        remedy = REMEDIES.get(error.errno or 0, "see to it")
        sys.exit(f"error: {error.filename or 'a file'}: {error.strerror}; {remedy} and run it again")


def of_the_disk(error: BaseException) -> bool:
    """Tell whether `error` is no fault of a file or of the program: the disk is full, gone, or closed to this user."""
    return isinstance(error, OSError) and error.errno in REMEDIES
