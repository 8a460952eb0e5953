"""What the C library does with memory that is freed."""

import ctypes
from contextlib import suppress

# Settings of mallopt(3) by number: M_MMAP_MAX, no block apart from the heap; M_TRIM_THRESHOLD, the highest that it takes; and
# M_ARENA_MAX, one for all threads, since what other arenas hold goes back whatever the threshold.
MEMORY = {-4: 0, -1: 2**31 - 1, -8: 1}


def keep_freed_memory() -> None:
    """Let this process keep what it frees; where the C library is not GNU's, do nothing.

    glibc gives much of it back to the system, and getting that again page by page takes time. Without this it always gives back
    maps of 33 MB and more.
    """
    with suppress(AttributeError, OSError, TypeError):  # no mallopt (musl, macOS), or no C library to open so (Windows)
        mallopt = ctypes.CDLL(None).mallopt
        for setting in MEMORY.items():
            mallopt(*setting)
