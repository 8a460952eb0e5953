"""A raw folder that a test has filled by hand: the table that download would write for it."""

from pathlib import Path

from cxr.sources import table
from cxr.sources.patients import patient
from cxr.sources.table import Listed


def table_of(raw: Path, **changes: dict[str, str]) -> Path:
    """Write the table of the images `raw`/FINDING/NAME and return `raw`; `changes` are columns' values by file."""
    files = sorted(path.relative_to(raw).as_posix() for path in raw.glob("*/*") if not path.name.startswith("."))
    rows = [Listed(file, file, patient(file), file.split("/")[0]) for file in files]
    told = [row._replace(**{name: of[row.file] for name, of in changes.items() if row.file in of}) for row in rows]
    table.write(raw, told)
    return raw
