"""Who may read what shows patients: its owner alone, unless a folder is shared on purpose.

A folder is shared when its set-group-ID bit is set (`chmod g+s`), by which groups share folders: new files in it get its group.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

OWNER = 0o700
OTHERS = 0o077

# What shows patients, below a workspace, and what does where DVC keeps the workspace.
FOLDERS, DVC, CACHE = ("data", "plots"), ".dvc", "cache"


def close(*folders: Path) -> None:
    """Make each of `folders`, if it is missing, and let its owner alone in (mode 0700), unless it is shared.

    Modes of files would not last: DVC sets its own when it checks out. A folder of another user stays as it is.
    """
    for folder in folders:
        folder.mkdir(OWNER, parents=True, exist_ok=True)
        mode = stat.S_IMODE(folder.stat().st_mode)
        if mode & OTHERS and not mode & stat.S_ISGID:
            with suppress(PermissionError):
                folder.chmod(mode & ~OTHERS)


def close_workspace(workspace: Path) -> None:
    """`close` what shows patients in `workspace`, and DVC's cache of it where there is a DVC."""
    close(*(workspace / name for name in FOLDERS))
    if (workspace / DVC).is_dir():
        close(workspace / DVC / CACHE)


@contextmanager
def private(path: Path) -> Iterator[None]:
    """Let files that the block makes have mode 0600, and folders 0700, unless the folder that `path` comes to lie in is shared.

    In a shared folder the user's own umask counts. The umask is of the whole process: not for use by several threads at once.
    """
    folder = next(parent for parent in path.absolute().parents if parent.is_dir())
    if folder.stat().st_mode & stat.S_ISGID:
        yield
        return
    before = os.umask(OTHERS)
    try:
        yield
    finally:
        os.umask(before)
