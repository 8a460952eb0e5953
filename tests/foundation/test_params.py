from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pytest

from cxr.foundation import params
from cxr.foundation.errors import UserError
from cxr.foundation.params import Must, at_least, between


@dataclass(frozen=True)
class Everything:
    count: Annotated[int, at_least(1)]
    share: Annotated[float, between(0, 1)]
    flag: bool
    word: str
    choice: Literal["a", "b"]
    scales: Annotated[tuple[Literal[2, 3], ...], Must("each once", lambda scales: len(set(scales)) == len(scales))]
    pair: tuple[float, float]
    names: dict[str, str]


GOOD = {
    "count": 2,
    "share": 0.5,
    "flag": True,
    "word": "w",
    "choice": "a",
    "scales": [2, 3],
    "pair": [1, 2.5],
    "names": {"a": "b"},
}


def write(folder: Path, text: str) -> Path:
    path = folder / "params.yaml"
    path.write_text(text)
    return path


def test_every_kind_of_value_is_read(tmp_path):
    path = write(
        tmp_path,
        "s:\n  count: 2\n  share: 1e-1\n  flag: true\n  word: w\n  choice: a\n  scales: [2, 3]\n  pair: [1, 2.5]\n"
        "  names: {a: b}\n",
    )
    read = params.read(path, "s", Everything)
    assert read == Everything(2, 0.1, True, "w", "a", (2, 3), (1.0, 2.5), {"a": "b"})
    assert type(read.pair[0]) is float


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("count", 0, "a whole number at least 1"),
        ("count", 2.0, "a whole number at least 1"),
        ("count", True, "a whole number at least 1"),
        ("count", "2", "a whole number at least 1"),
        ("count", None, "a whole number at least 1"),
        ("share", 1.5, "a number from 0 to 1"),
        ("share", float("nan"), "a number from 0 to 1"),
        ("share", float("inf"), "a number from 0 to 1"),
        ("share", False, "a number from 0 to 1"),
        ("flag", 1, "true or false"),
        ("flag", "yes", "true or false"),
        ("word", 3, "a string"),
        ("choice", "c", "one of a, b"),
        ("scales", 2, "a list, each item one of 2, 3 each once"),
        ("scales", [2, 2], "a list, each item one of 2, 3 each once"),
        ("pair", [1], "a list of 2, each a number"),
        ("names", ["a"], "a mapping, such as {}"),
        ("names", None, "a mapping, such as {}"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_expected(key, value, expected):
    with pytest.raises(UserError) as caught:
        params.convert({**GOOD, key: value}, Everything, "params.yaml: s")
    assert str(caught.value) == f"params.yaml: s.{key} is {value!r}; expected {expected}"


@pytest.mark.parametrize("value", [10**400, -(10**400), 16**5000], ids=["400", "-400", "6000"])
@pytest.mark.parametrize("key", ["share", "pair", "flag"])
def test_a_whole_number_that_no_float_holds_is_refused(key, value):
    with pytest.raises(
        UserError, match=r"s\.\S+ is a whole number of [\d,]+ bits; expected (a number|true or false)"
    ) as caught:
        params.convert({**GOOD, key: [1, value] if key == "pair" else value}, Everything, "params.yaml: s")
    assert len(str(caught.value)) < 120


def test_a_wrong_item_of_a_list_is_named_by_its_place():
    with pytest.raises(UserError, match=r"s\.scales\[1\] is 4; expected one of 2, 3"):
        params.convert({**GOOD, "scales": [2, 4]}, Everything, "params.yaml: s")
    with pytest.raises(UserError, match=r"s\.scales\[0\] is True; expected one of 2, 3"):
        params.convert({**GOOD, "scales": [True]}, Everything, "params.yaml: s")


def test_an_unknown_key_is_named_with_the_nearest_known_one():
    with pytest.raises(UserError, match=r"^params\.yaml: s\.shares is unknown; did you mean share\?$"):
        params.convert({**GOOD, "shares": 1}, Everything, "params.yaml: s")


def test_a_missing_key_is_named_with_what_is_expected():
    with pytest.raises(UserError, match=r"^params\.yaml: s\.count is missing; expected a whole number at least 1$"):
        params.convert({key: value for key, value in GOOD.items() if key != "count"}, Everything, "params.yaml: s")


@pytest.mark.parametrize(("key", "shown"), [("\n", r"'\\n'"), ("", "''"), (3, "3"), ("k" * 99, r"'k+\.\.\.k+'")])
def test_an_unknown_key_is_shown_on_one_line(key, shown):
    with pytest.raises(UserError, match=rf"^params\.yaml: s\.{shown} is unknown; known here: count"):
        params.convert({**GOOD, key: 1}, Everything, "params.yaml: s")


@pytest.mark.parametrize("value", [None, 3, "text", [1]])
def test_a_section_that_is_no_mapping_is_refused(value):
    with pytest.raises(UserError, match="expected the keys count, share"):
        params.convert(value, Everything, "params.yaml: s")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("s: {a: 1\n", "not valid YAML"),
        ("s:\n  a: 1\n  a: 2\n", "not valid YAML: .*duplicate key"),
        ("- 1\n", "expected sections with a name each"),
        ("", "expected sections with a name each"),
        ("1: {a: 1}\n", "expected sections with a name each"),
        ("s: \x00\n", "not valid YAML"),
        ("t: {a: 1}\n", "the section s is missing"),
    ],
)
def test_a_broken_file_is_refused_in_one_line(tmp_path, text, message):
    with pytest.raises(UserError, match=message) as caught:
        params.read(write(tmp_path, text), "s", Everything)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_are_refused_in_one_line(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_bytes(b"s:\n  a: \xff\xfe\n")
    with pytest.raises(UserError, match="not valid YAML"):
        params.load(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"params\.yaml: no such file"):
        params.load(tmp_path / "params.yaml")
