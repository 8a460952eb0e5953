import pytest

from cxr.foundation.errors import UserError
from cxr.sources.columns import Box, Row, merged, read
from cxr.sources.settings import Download

FILE = {"file": "f"}


def by(columns, findings=None):
    return Download("local", "a.zip", "t.csv", columns, findings or {}, "", "")


def rows(text, columns, findings=None):
    return read(text.encode(), "a.zip: t.csv", by(FILE | columns, findings)).rows


@pytest.mark.parametrize("between", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])  # Excel begins with the latter
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_commas_semicolons_and_tabs(between, mark, end):
    text = end.join([between.join(line) for line in (("f", "who", "what"), ("a.png", "7", "Nodule"))])
    assert rows(mark + text, {"patient": "who", "findings": "what"}) == [Row("a.png", "7", ("NODULE",))]


def test_every_column_in_the_projects_words():
    text = "f,p,s,mm,v,y,x,m\na.png,7,Test,0.143,pa,058Y,Female,m/a.png\n"
    columns = {"patient": "p", "split": "s", "spacing": "mm", "view": "v", "age": "y", "sex": "x", "mask": "m"}
    row = Row("a.png", "7", (), "test", "0.143", "PA", "58", "F", (), "m/a.png")
    assert rows(text, columns) == [row]


@pytest.mark.parametrize(
    ("name", "cell", "expected"),
    [
        ("age", "58.0", "58"),
        ("age", "006M", "0.5"),
        ("age", "412", ""),
        ("age", "old", ""),
        ("spacing", "[0.139, 0.139]", "0.139"),
        ("spacing", "0.139\\0.14", ""),
        ("spacing", "-1", ""),
        ("spacing", "nan", ""),
        ("spacing", "0", ""),
        ("age", "150", "150"),
        ("age", "151", ""),
        ("age", "nan", ""),
        ("split", " external ", "external"),
        ("split", "Validation", "val"),
        ("split", "dev", "val"),
        ("split", "TESTING", "test"),
        ("split", "trainset", "train"),
        ("split", "External_Test", "external"),
        ("split", "external validation", "external"),
        ("split", "hold-out", "external"),
        ("view", "PA", "PA"),
        ("view", "ap supine", "AP SUPINE"),
        ("view", "AP semi erect", "AP SEMI ERECT"),
        ("view", "Lateral", "LATERAL"),
        ("view", "PA HR MUELLER", ""),
        ("sex", "unknown", ""),
        ("sex", "male", "M"),
        ("sex", "Mueller", ""),
    ],
)
def test_values(name, cell, expected):
    settings = by(FILE | {name: "column"})
    table = read(f'f,column\na.png,"{cell}"\n'.encode(), "t.csv", settings)
    assert getattr(table.rows[0], name) == expected
    if not expected and cell != "unknown":  # which is an answer
        assert table.notes == [f"t.csv: 1 values of column mean nothing as {name}, such as {cell!r}"]
    else:
        assert table.notes == []


def test_columns_that_stand_for_a_finding_each():
    text = "f,No Finding,Pneumonia,Edema,Fracture\na,1.0,,0.0,-1.0\nb,0,1,true,\nc,,,,\n"
    found = rows(text, {"findings": ["No Finding", "Pneumonia", "Edema", "Fracture"]}, {"Edema": "Oedema"})
    assert [row.findings for row in found] == [("NORMAL",), ("PNEUMONIA", "Oedema"), ()]


def test_several_columns_of_texts():
    assert rows("f,one,two\na,Nodule,Effusion|TB\n", {"findings": ["one", "two"]})[0].findings == (
        "NODULE",
        "Effusion",
        "TUBERCULOSIS",
    )


@pytest.mark.parametrize("text", ["1 2 3 4;5 6 7 8.5", "1 2 3 4|5 6 7 8.5", "[1, 2, 3, 4] ; (5,6,7,8.5)"])
@pytest.mark.parametrize(("frame", "size"), [({}, None), ({"frame": 1024}, (1024, 1024)), ({"frame": "1024 800"}, (1024, 800))])
def test_boxes_in_a_cell(text, frame, size):
    found = rows(f'f,b,what\na.png,"{text}",Nodule|Normal\n', {"boxes": "b", "findings": "what"} | frame)
    assert found[0].boxes == (Box("NODULE", 1, 2, 3, 4, size), Box("NODULE", 5, 6, 7, 8.5, size))


def test_boxes_in_columns_and_a_frame_in_a_column():
    text = "f,x,y,width,height,size\na,264.0,152.0,213.0,379.0,1024x800\nb,,,,,\n"
    first, second = rows(text, {"boxes": ["x", "y", "width", "height"], "frame": "size"})
    assert first.boxes == (Box("", 264, 152, 213, 379, (1024, 800)),)
    assert second.boxes == ()


def test_a_box_of_several_findings_names_none():
    cells = "f,b,what\na,1 2 3 4,TB;Nodule\nb,1 2 3 4,TB\n"
    several, one = rows(cells, {"boxes": "b", "findings": "what"})
    assert (several.boxes[0].finding, one.boxes[0].finding) == ("", "TUBERCULOSIS")


def test_words_of_a_split_that_mean_nothing_are_listed_with_their_counts():
    settings = by(FILE | {"split": "s"})
    notes = read(b"f,s\na,native\nb,fold 1\nc,native\nd,test\n", "t.csv", settings).notes
    assert notes == ["t.csv: 3 values of s mean nothing as split: 1 'fold 1', 2 'native'"]


@pytest.mark.parametrize("text", ["nan nan nan nan", "nan", "[]", ", , ,", "NaN;nan"])
def test_what_is_not_a_number_is_no_box(text):
    assert rows(f'f,b\na.png,"{text}"\n', {"boxes": "b"})[0].boxes == ()
    assert rows("f,x,y,w,h\na.png,nan,nan,nan,nan\n", {"boxes": ["x", "y", "w", "h"]})[0].boxes == ()


@pytest.mark.parametrize(
    ("frame", "size"), [("1024.0", (1024, 1024)), ("1024.0 800.0", (1024, 800)), ("1024x800", (1024, 800))]
)
def test_a_frame_may_be_written_as_a_decimal(frame, size):
    assert rows(f"f,b,w\na.png,1 2 3 4,{frame}\n", {"boxes": "b", "frame": "w"})[0].boxes[0].frame == size


@pytest.mark.parametrize("text", ["1 2 3", "1 2 3 4 5", "a b c d", "1 2 3 nan", "1 2 0 4", "1 2 3 -4", "1 2 inf 4"])
def test_what_is_no_box_is_named(text):
    with pytest.raises(UserError, match=r"a\.zip: t\.csv: a box of a\.png is '.*'; expected left, top, width and height"):
        rows(f"f,b\na.png,{text}\n", {"boxes": "b"})


def test_rows_of_one_radiograph_are_joined():
    one = Row("a", "", ("NODULE",), "train", "", "", "", "", (Box("NODULE", 1, 2, 3, 4, None),))
    other = Row("a", "7", ("NODULE", "Effusion"), "external", "0.1", "PA", "", "", (Box("NODULE", 5, 6, 7, 8, None),), "m")
    expected = Row("a", "7", ("NODULE", "Effusion"), "external", "0.1", "PA", "", "", one.boxes + other.boxes, "m")
    assert merged(one, other, "t.csv") == expected
    with pytest.raises(UserError, match=r"t\.csv: a is of two patients"):
        merged(other, other._replace(patient="8"), "t.csv")


@pytest.mark.parametrize(
    ("content", "columns", "told"),
    [
        (
            b"f,what\na,b\n",
            {"findings": "label"},
            r"no column 'label', which download\.columns\.findings names; there are: f, what",
        ),
        (b"f,x\na,b\n", {"boxes": ["x", "y", "w", "h"]}, r"no column 'y', which download\.columns\.boxes names"),
        (b"f,x\na,b\n", {"frame": "size"}, r"no column 'size', which download\.columns\.frame names"),
        (b"", {}, "no column 'f'"),
        (b"f\n\xff\xfe\n", {}, "no table of UTF-8 text"),
        (b"f,p,f\na,b,c\n", {"patient": "p"}, "two columns are called 'f'"),
    ],
)
def test_what_is_no_such_table_is_one_line(content, columns, told):
    with pytest.raises(UserError, match=told) as error:
        read(content, "a.zip: t.csv", by(FILE | columns))
    assert str(error.value).startswith("a.zip: t.csv: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"path": " "}, "path is empty"),
        (
            {"columns": {"file": "f", "paitent": "p"}},
            "columns has the name 'paitent', which is unknown; known here: file, patient",
        ),
        ({"columns": {"file": 3}}, "columns has file: 3; expected the name of a column"),
        ({"columns": {"file": "f", "boxes": ["x", "y"]}}, "boxes: .* expected the name of a column, or a list of four"),
        ({"columns": {"file": "f", "frame": 0}}, "frame: 0; expected a number of pixels"),
        ({"columns": {"file": ["f"]}}, "expected the name of a column$"),
        ({"columns": {"patient": "p"}}, "columns lacks file"),
        ({"table": ""}, "table is empty"),
        ({"findings": {"a": 1}}, "findings has 'a': 1; expected texts"),
        ({"findings": {1.5: "NORMAL"}}, "findings has 1.5: 'NORMAL'"),
        ({"patient": "a{99999999999999999999}"}, "which is no regular expression"),
        ({"patient": "(a"}, r"patient is '\(a', which is no regular expression"),
        ({"external": "[a"}, r"external is '\[a', which is no regular expression"),
    ],
)
def test_settings_that_cannot_be(change, told):
    good = {"source": "local", "path": "a.zip", "table": "t.csv", "columns": {"file": "f"}, "findings": {}}
    good |= {"patient": "", "external": ""}
    Download(**good)
    with pytest.raises(ValueError, match=told):
        Download(**{**good, **change})


def test_numbers_and_texts_are_values_alike():
    assert rows("f,n\na,0\nb,2\n", {"findings": "n"}, {0: "NORMAL", "*": "NODULE"})[1].findings == ("NODULE",)


def test_a_mapping_that_a_few_lines_make_huge_is_told_in_one_short_line():
    bomb = "x"
    for _ in range(40):
        bomb = [bomb, bomb]
    for settings in ({"columns": {"file": bomb}}, {"findings": {"a": bomb}}):
        with pytest.raises(ValueError, match="expected") as error:
            Download(
                **{
                    "source": "local",
                    "path": "a",
                    "table": "t.csv",
                    "columns": {"file": "f"},
                    "findings": {},
                    "patient": "",
                    "external": "",
                    **settings,
                }
            )
        assert len(str(error.value)) < 1000
