"""Names that stand for others: the same for the same key, and not to be traced without it."""

import hmac
import os
import secrets
from hashlib import sha256
from pathlib import Path
from uuid import UUID

from pydicom._uid_dict import UID_dictionary
from pydicom.uid import UID

from cxr.foundation.errors import UserError

BYTES = 32
DEFINED = frozenset(UID_dictionary)
"""UIDs that DICOM itself defines (PS3.6, annex A)."""


class Key:
    """A secret, by which the same UID or number becomes the same other one."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    @classmethod
    def new(cls) -> "Key":
        """Return a key that nobody has seen, and that is forgotten with this process."""
        return cls(secrets.token_bytes(BYTES))

    def uid(self, uid: str) -> UID:
        """Return what stands for `uid`: a UUID below 2.25 (PS3.5, B.2), or for one that DICOM itself defines, that one."""
        return UID(uid) if uid in DEFINED else UID(f"2.25.{UUID(self._digest('uid', uid.encode())[:32], version=4).int}")

    def patient(self, number: bytes) -> str:
        """Return what stands for the patient of this number: 16 hexadecimal digits, or "" for no number."""
        return self._digest("patient", number)[:16] if number else ""

    def name(self, content: bytes) -> str:
        """Return a name for a file of this content: 32 hexadecimal digits."""
        return self._digest("file", sha256(content).digest())[:32]

    def _digest(self, kind: str, content: bytes) -> str:
        return hmac.new(self._secret, kind.encode() + b" " + content, sha256).hexdigest()


def kept_key(path: Path) -> Key:
    """Return the key in the file `path`, which is made, for its owner alone to read, if there is none.

    Raises UserError for a file that holds no key, or that others can read.
    """
    try:
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _read(path)
    with os.fdopen(opened, "w") as file:
        secret = secrets.token_bytes(BYTES)
        file.write(f"{secret.hex()}\n")
    return Key(secret)


def _read(path: Path) -> Key:
    if not path.is_file():
        raise UserError(f"{path} is no file; name one for the key, which is made if it is missing")
    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise UserError(f"{path}: others can read this key; run chmod 600 on it, or make a new one")
    try:
        secret = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except ValueError:
        secret = b""
    if len(secret) != BYTES:
        raise UserError(
            f"{path} holds no key ({BYTES} bytes in hexadecimal); name another file, which is made if it is missing"
        )
    return Key(secret)
