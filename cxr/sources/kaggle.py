"""Kaggle's data set of chest radiographs, through Kaggle's own client.

The client hangs for as long as a server is silent, may call a cut or spoilt file whole, and prints signed addresses. So it runs
in a process of its own, one try at a time; that process hands back how the try ended and not a word of the client's, and is
ended when its file no longer grows. What the client has fetched counts only after every byte of the zip has been checked.
"""

import email.utils
import functools
import http
import json
import os
import re
import subprocess
import sys
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from filelock import FileLock, Timeout

from cxr.foundation.errors import UserError, of_the_disk
from cxr.foundation.place import ROOT
from cxr.sources import zips

DATASET = "paultimothymooney/chest-xray-pneumonia/2"  # owner, name and version
ZIP = "chest-xray-pneumonia.zip"  # as the client names it

PUBLISHED = {
    "train/NORMAL": 1341,
    "train/PNEUMONIA": 3875,
    "test/NORMAL": 234,
    "test/PNEUMONIA": 390,
    "val/NORMAL": 8,
    "val/PNEUMONIA": 8,
}

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0  # seconds before the second try; each further one waits twice as long

_RADIOGRAPH = re.compile(r"(?:^|/)chest_xray/((?:train|test|val)/(?:NORMAL|PNEUMONIA))/([^/.][^/]*\.jpeg)$")

_OTHERWISE = "or set download.source to local (a zip or folder of yours) or phantom (drawn, needs no network)"
_CREDENTIALS = (
    "give credentials by one of KAGGLE_API_TOKEN, ~/.kaggle/access_token, KAGGLE_USERNAME with KAGGLE_KEY, or "
    "~/.kaggle/kaggle.json (an old KAGGLE_API_TOKEN wins over kaggle.json: unset it), "
)


class End(NamedTuple):
    """How one try of the client ended."""

    kind: Literal["done", "refused", "failed", "spoilt", "disk", "broken"]
    """`refused`: an HTTP status; `failed`: no connection, or a silent one; `spoilt`: the file is not what was announced;
    `disk`: the file cannot be written; `broken`: whatever else the client stumbled over."""
    message: str = ""
    status: int = 0
    wait: float = 0
    """Seconds that the server asked to wait."""
    credentials: bool = False
    """Whether the refused request carried any."""


def fetch(folder: Path, stall_seconds: float, retry_seconds: float, log: Callable[[str], None]) -> Path:
    """Return the path of Kaggle's zip in `folder`, every byte of it checked; download it unless it is there already.

    A try that brings nothing for `stall_seconds` is ended. Tries that fail for want of a connection or of a willing server
    are repeated, from where the last one was, until nothing more has come for `retry_seconds`. `log` takes lines on what goes
    wrong on the way. Raises UserError when Kaggle refuses, when `folder` cannot be written or is in use by another download,
    when time is up, and when what Kaggle sends is twice no whole zip of radiographs.
    """
    archive = folder / ZIP
    with _exclusive_lock(folder):
        if _is_kept(archive, log):
            return archive
        fault = ""
        for _ in range(2):
            _download(archive, stall_seconds, retry_seconds, log)
            fault = _zip_error(archive)
            if not fault:
                # Torn by a crash, the record is none at all, and the zip is checked again.
                _record(archive).write_text(json.dumps({"dataset": DATASET, "sha256": zips.sha256(archive)}) + "\n")
                return archive
            _remove(archive)
            log(f"{archive} was not what Kaggle publishes ({fault}): removed")
    raise UserError(f"Kaggle sent no whole zip of {DATASET} ({fault}), twice; try again later, {_OTHERWISE}")


def unlike_published(archive: Path) -> str:
    """Return in words where the numbers of radiographs in `archive` differ from those published; empty when nowhere."""
    with zipfile.ZipFile(archive) as opened:
        found = Counter(place for place, _ in _radiographs(opened))
    return ", ".join(
        f"{found[place]} in {place} (published: {count})" for place, count in PUBLISHED.items() if found[place] != count
    )


def _radiographs(archive: zipfile.ZipFile) -> set[tuple[str, str]]:
    """Return place ("train/NORMAL") and name of each radiograph, once, though the zip holds the tree twice."""
    return {(match[1], match[2]) for match in map(_RADIOGRAPH.search, archive.namelist()) if match}


def _zip_error(archive: Path) -> str:
    """Return what is wrong with the zip `archive`; empty when each entry can be read and has the checksum it should have."""
    try:
        with (
            zipfile.ZipFile(archive) as opened,
            zips.bytes_bar("checking", sum(entry.file_size for entry in opened.infolist())) as bar,
        ):
            for entry in opened.infolist():
                with opened.open(entry) as file:
                    for _ in zips.chunks(file, bar):
                        pass
            return "" if _radiographs(opened) else "it holds no radiographs"
    except zips.BROKEN as error:
        if of_the_disk(error):
            raise
        return zips.message_of(error)


@contextmanager
def _exclusive_lock(folder: Path) -> Iterator[None]:
    """Keep other downloads out of `folder`: a killed dvc leaves its stage running, and two clients would write one file."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock").acquire(timeout=0)
    except Timeout:
        raise UserError(f"{folder}: another download into it is running; wait for it or stop it") from None
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror}; downloads are kept there") from None
    with lock:
        yield


def _record(archive: Path) -> Path:
    return archive.with_suffix(".json")


def _marker(archive: Path) -> Path:
    """Return where the client notes which file on the server an unfinished one is part of."""
    return archive.with_name(archive.name + ".kaggle-partial")


def _remove(archive: Path) -> None:
    for path in (_record(archive), _marker(archive), archive):
        path.unlink(missing_ok=True)


def _is_kept(archive: Path, log: Callable[[str], None]) -> bool:
    """Tell whether `archive` is what its record says; remove both when it is not."""
    try:
        record = json.loads(_record(archive).read_text())
    except (OSError, ValueError):
        return False  # never checked: perhaps an unfinished download, which the client knows by its marker
    if archive.is_file() and record == {"dataset": DATASET, "sha256": zips.sha256(archive)}:
        return True
    _remove(archive)
    log(f"{archive} is no longer what was downloaded: removed")
    return False


def _size(archive: Path) -> int:
    return archive.stat().st_size if archive.is_file() else 0


def _announced(archive: Path) -> int | None:
    """Return how large the client expects `archive` to become, where the server said so."""
    try:
        return int(json.loads(_marker(archive).read_text())["size"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _download(archive: Path, stall_seconds: float, retry_seconds: float, log: Callable[[str], None]) -> None:
    """Have the client fetch `archive`, as often as it takes. Raises UserError where another try is of no use."""
    most, since, pause = _size(archive), time.monotonic(), FIRST_PAUSE
    while (end := _attempt(archive, stall_seconds)).kind != "done":
        if end.kind == "spoilt":
            _remove(archive)
        _raise_hopeless(end)
        now = time.monotonic()
        if _size(archive) > most:  # and not merely again as much as an earlier try brought
            most, since, pause = _size(archive), now, FIRST_PAUSE
        left = since + retry_seconds - now
        if left <= 0 or end.wait > left:
            asked = f", and asks to wait {end.wait:.0f} s" if end.wait else ""
            raise UserError(
                f"the download of {DATASET} does not get on: {end.message}{asked}; what has come is kept: run dvc repro again "
                f"later, allow more runtime.retry_minutes, {_OTHERWISE}"
            )
        wait = max(end.wait, min(pause, left))
        log(f"{end.message}; trying again in {wait:.1f} s")
        time.sleep(wait)
        pause = min(2 * pause, LONGEST_PAUSE)


def _raise_hopeless(end: End) -> None:
    """Raise UserError when another try would end like this one."""
    if end.status in {401, 403}:
        what = "these credentials" if end.credentials else "a download without credentials"
        raise UserError(f"Kaggle refuses {what} ({end.message}): {_CREDENTIALS}{_OTHERWISE}")
    if end.kind == "refused" and end.status != 429 and end.status < 500:
        raise UserError(f"Kaggle does not give {DATASET} ({end.message}): download it by hand and set download.source to local")
    if end.kind == "disk":
        raise UserError(f"{end.message}; what has come is kept: put that right and run dvc repro again")
    if end.kind == "broken":
        raise UserError(
            f"Kaggle's client failed ({end.message}): see that it is installed as requirements.txt says, {_OTHERWISE}"
        )


def _attempt(archive: Path, stall_seconds: float) -> End:
    """Run the client once, in a process of its own, and end it when `archive` no longer grows or this process must stop."""
    with (
        subprocess.Popen(
            [sys.executable, "-m", "cxr.sources.kaggle", str(archive.parent.resolve())],
            cwd=ROOT,
            # With these the client would print each request, credentials included, and keep the whole zip in memory.
            env={name: value for name, value in os.environ.items() if name not in {"VERBOSE", "VERBOSE_OUTPUT"}},
            stdin=subprocess.PIPE,  # its end tells the child that this process is gone
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C comes here alone
        ) as child,
        zips.bytes_bar("downloading", None, _size(archive)) as bar,
    ):
        try:
            if not _watch(child, archive, stall_seconds, bar):
                return End("failed", f"nothing came from Kaggle for {stall_seconds:g} s")
        finally:
            child.kill()
        assert child.stdout is not None
        said = child.stdout.read()
    return End(**json.loads(said)) if said else End("failed", f"Kaggle's client was ended from outside ({child.returncode})")


def _watch(child: subprocess.Popen[bytes], archive: Path, stall_seconds: float, bar: Any) -> bool:
    """Wait for `child` and show how `archive` grows; return False when it did not for `stall_seconds`."""
    size, grown = _size(archive), time.monotonic()
    while True:
        try:
            child.wait(0.2)
        except subprocess.TimeoutExpired:
            pass
        else:
            return True
        bar.total = bar.total or _announced(archive)
        now = time.monotonic()
        if _size(archive) != size:
            bar.update(_size(archive) - size)
            size, grown = _size(archive), now
        elif now - grown > stall_seconds:
            return False


def _child(folder: str) -> None:
    """Try once to fetch DATASET to `folder`, and write the End to standard output: all that the child process does."""
    answer, parent = os.fdopen(os.dup(1), "w"), os.dup(0)  # copies, since the client closes its standard input
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    # Nothing is ever sent this way: the read ends when the parent does, however that came about.
    threading.Thread(target=lambda: (os.read(parent, 1), os._exit(1)), daemon=True).start()
    try:
        import kaggle  # noqa: PLC0415  importing it logs in, prints and makes a folder in HOME

        # The client's own repeats take the answer "503" for the rest of the zip, wait out a full disk for a minute, and
        # keep to a signed address after it has expired. A new try asks for a new address and goes on where this one ends.
        kaggle.api.download_file = functools.partial(kaggle.api.download_file, max_retries=0)
        kaggle.api.dataset_download_files(DATASET, path=folder, quiet=True)
        end = End("done")
    except Exception as error:  # whatever it is: its text may hold a signed address and stays here
        end = _classify_error(error, folder)
    answer.write(json.dumps(end._asdict()))
    answer.close()


def _classify_error(error: Exception, folder: str) -> End:
    """Return as what kind of End the client's `error` counts, told without the client's words."""
    import requests  # noqa: PLC0415  the client's, and slow to import

    name = type(error).__name__
    response = getattr(error, "response", None)
    if isinstance(error, requests.HTTPError) and response is not None:
        # Kaggle also answers 200 with the true code in the body.
        status = response.status_code if response.status_code >= 400 else int(response.json()["code"])
        return End(
            "refused",
            f"Kaggle answers {status} {_phrase(status)}".rstrip(),
            status,
            _seconds(response.headers.get("Retry-After", "")),
            "Authorization" in response.request.headers,
        )
    interrupted = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
    if isinstance(error, (*interrupted, ConnectionError, TimeoutError)):
        return End("failed", f"the connection to Kaggle failed ({name})")
    if isinstance(error, OSError) and error.errno is not None:
        return End("disk", f"{error.filename or folder}: {error.strerror}")
    if isinstance(error, ValueError) and not isinstance(error, requests.RequestException):
        return End("spoilt", "what came is not of the size that Kaggle announced")
    return End("broken", name)


def _phrase(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return ""


def _seconds(retry_after: str) -> float:
    """Return the seconds that the header `retry_after`, a number or a date, asks to wait; 0 when it says neither."""
    if retry_after.isdecimal():
        return float(retry_after)
    try:
        return max(0.0, (email.utils.parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return 0.0


if __name__ == "__main__":
    _child(sys.argv[1])
