import pytest

from cxr.foundation.errors import UserError
from cxr.sources.table import Listed, read, write

HEADER = ",".join(Listed._fields)


def test_what_is_written_is_read(tmp_path):
    rows = [Listed("a.png", "a.png", "7", "TB|NODULE", "val", "PA", "58", "F", "0.143", "TB 0 0.1 .5 1|0 0 1 1", "m.png")]
    write(tmp_path, [Listed("b.png", 'b, "c"'), *rows])
    assert read(tmp_path) == [*rows, Listed("b.png", 'b, "c"')]


@pytest.mark.parametrize("character", ["\r", "\n", "\t", "\0", "\r\n"])
def test_control_characters_become_blanks(tmp_path, character):
    write(tmp_path, [Listed("a.png", "a.png", view=f"PA{character}x")])
    assert read(tmp_path)[0].view == f"PA{' ' * len(character)}x"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("a,a,,,,,,,,,,,more", "row 1 has 13 cells"),
        ("a,a,,,,,,,,,,\nb,b", "row 2 has 2 cells"),
        ('"a" x,a', "is damaged"),
        ("a,a,,,,,,,abc,,,", "the spacing 'abc'"),
        ("a,a,,,,,,,-1,,,", "the spacing '-1'"),
        ("a,a,,,,,,,nan,,,", "the spacing 'nan'"),
        ("a,a,,,odd,,,,,,,", "the split 'odd'"),
        ("a,a,,,,,,,,NODULE 1 2,,", "the box 'NODULE 1 2'"),
        (",a,,,,,,,,,,", "no file"),
    ],
)
def test_what_write_does_not_write_is_one_line(tmp_path, body, told):
    (tmp_path / "table.csv").write_text(f"{HEADER}\n{body}\n")
    with pytest.raises(UserError, match=told) as error:
        read(tmp_path)
    assert "\n" not in str(error.value)
    assert str(error.value).endswith("run the stage download again")


@pytest.mark.parametrize("text", ["", "file,name\n"])
def test_other_columns_are_one_line(tmp_path, text):
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(UserError, match="does not have the columns file, name"):
        read(tmp_path)
