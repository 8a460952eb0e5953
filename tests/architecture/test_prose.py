"""The pages that people read first are easy to read, and their measure is right."""

import pytest

from tests.support.tiny import ROOT
from tools import prose

PAGE = """# A heading of several words that is no sentence

One two three. Four
five six seven!

- Item one is here.
- Item two `with code that is one word` ends here

| a table | is not prose |
|---|---|

```sh
neither is this. Nor this.
```

[A link](https://example.org/a/b) and **bold** words, e.g. these.
"""


def test_sentences_are_those_of_paragraphs_and_lists():
    assert prose.sentences(PAGE) == [
        "One two three.",
        "Four five six seven!",
        "Item one is here.",
        "Item two CODE ends here",
        "A link and bold words, e.g these.",
    ]
    assert prose.measure(PAGE)[:2] == (23, 4)


@pytest.mark.parametrize("page", prose.PAGES)
def test_a_page_reads_easily(page):
    found = prose.measure((ROOT / page).read_text())
    assert found.words > 200
    assert found.median <= prose.MEDIAN
    assert found.most <= prose.LONGEST, found.longest


def test_the_readme_is_short():
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 120
    assert max(map(len, lines)) <= 120
