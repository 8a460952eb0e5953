"""Measure the sentences of Markdown pages: `python -m tools.prose [PAGE...]`.

Prints the words of each page, the median length of its sentences and the longest one. Exits with 1 when a page that is
held to it has a median above MEDIAN or a sentence above LONGEST.
"""

import re
import statistics
import sys
from pathlib import Path
from typing import NamedTuple

from cxr.foundation.errors import UserError, one_line_errors
from cxr.foundation.place import ROOT

PAGES = (
    *("README.md", "CONTRIBUTING.md"),
    *("docs/guide.md", "docs/architecture.md", "docs/performance.md", "docs/results.md", "docs/security.md"),
    "docs/web.md",
)
"""The pages that must read easily."""
MEDIAN, LONGEST = 16, 40  # words a sentence

# What is not prose: blocks of code, comments, headings, rules, pictures, rows of tables.
_SKIPPED = re.compile(
    r"^ *```.*?^ *```[^\n]*$|<!--.*?-->|^#[^\n]*$|^ *\|[^\n]*$|^[-=]{3,}$|^ *!\[[^\n]*$", re.MULTILINE | re.DOTALL
)
_CODE = re.compile(r"`[^`]+`")  # one word, however long
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_ITEM = re.compile(r"^\s*(?:[-*]|\d+\.|>)\s+")
_END = re.compile(r"(?<=[.!?])[\"')*]*\s+(?=[\"'(*`A-Z0-9])")
_ABBREVIATION = re.compile(r"\b(e\.g|i\.e|et al|cf|vs|approx)\.")


class Prose(NamedTuple):
    """How a page reads."""

    words: int
    median: float
    longest: str

    @property
    def most(self) -> int:
        """The words of the longest sentence."""
        return len(words(self.longest))


def words(sentence: str) -> list[str]:
    """Return the words of `sentence`: what lies between spaces and has a letter or a digit."""
    return [word for word in sentence.split() if re.search(r"\w", word)]


def sentences(text: str) -> list[str]:
    r"""Return the sentences of the Markdown page `text`: of its paragraphs and of the items of its lists.

    >>> sentences("# Title\n\nIt runs. It\nends.\n- `a b c` is one word.")
    ['It runs.', 'It ends.', 'CODE is one word.']
    """
    plain = _LINK.sub(r"\1", _CODE.sub("CODE", _SKIPPED.sub("\n", text)))
    plain = _ABBREVIATION.sub(r"\1", plain.replace("**", ""))
    blocks: list[str] = []
    open_block = False
    for line in plain.splitlines():
        item = _ITEM.match(line)
        stripped = line[item.end() :].strip() if item else line.strip()
        if item or not open_block:
            blocks.append(stripped)
        else:
            blocks[-1] += f" {stripped}"
        open_block = bool(line.strip())
    return [sentence.strip() for block in blocks for sentence in _END.split(block) if words(sentence)]


def measure(text: str) -> Prose:
    """Return how the Markdown page `text` reads."""
    found = sentences(text) or [""]
    lengths = [len(words(sentence)) for sentence in found]
    return Prose(sum(lengths), statistics.median(lengths), max(found, key=lambda sentence: len(words(sentence))))


def main() -> None:
    """Print a line for each page and the sentences that are too long."""
    pages = sys.argv[1:] or [page for page in PAGES if (ROOT / page).is_file()]
    print(f"{'words':>6}  {'median':>6}  {'longest':>7}  page")
    hard = []
    for page in pages:
        path = Path(page) if sys.argv[1:] else ROOT / page
        if not path.is_file():
            raise UserError(f"{page} is missing; name a Markdown page")
        prose = measure(path.read_text(encoding="utf-8"))
        print(f"{prose.words:6}  {prose.median:6g}  {prose.most:7}  {page}")
        if prose.median > MEDIAN or prose.most > LONGEST:
            hard.append(f"{page}: median {prose.median:g} of at most {MEDIAN}, longest {prose.most} of at most {LONGEST}:")
            hard.append(f"  {prose.longest}")
    if hard:
        raise UserError("\n".join(["these pages are hard to read", *hard]))


if __name__ == "__main__":
    with one_line_errors():
        main()
