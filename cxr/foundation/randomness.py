"""Random numbers: a stream is a function of its key."""

import hashlib

from torch import Generator


def generator(*key: object) -> Generator:
    """Return a generator of random numbers on the CPU, whose stream is a function of `key`, printed."""
    # Hashed, because neighbouring seeds of a generator must not give shifted copies of one stream.
    digest = hashlib.sha256(" ".join(map(str, key)).encode()).digest()
    return Generator().manual_seed(int.from_bytes(digest[:8], "little", signed=True))
