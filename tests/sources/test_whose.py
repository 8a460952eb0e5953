import pytest

from cxr.sources.whose import File, resolve


def test_table_then_expression_then_header_then_name():
    files = [
        File("patient00001/a-17.png", "T1", ("key",), dicom=True),
        File("patient00002/a-18.png", "", ("other",), dicom=True),
        File("patient00003/b.png", "", ("third",), dicom=True),
        File("patient00004/b.png"),
        File("b.png"),
    ]
    found = resolve(files, r"a-(\d+)")
    assert [(each.patient, each.way) for each in found] == [
        ("T1", "table"),
        ("18", "expression"),
        ("p00001", "header"),
        ("patient00004", "name"),
        ("", "none"),
    ]


@pytest.mark.parametrize(("expression", "expected"), [(r"^[^/]+", "doe"), (r"^(?:x|(d)oe)", "d"), (r"nobody|(x)?doe/s", "")])
def test_the_first_group_or_the_whole_match_is_the_patient(expression, expected):
    assert resolve([File("doe/scan.png")], expression)[0].patient == expected


def test_header_patients_are_numbered_by_their_first_file_and_dicom_files_by_their_patient():
    files = [
        File(name, "", keys, dicom=True)
        for name, keys in (("1.2.3", ("Doe",)), ("1.2.4", ("Roe",)), ("1.2.5", ("Doe",)), ("1.2.6", ()))
    ]
    found = resolve([*files, File("a.png")])
    assert [each.patient for each in found] == ["p00001", "p00002", "p00001", "", ""]
    assert [each.name for each in found] == ["p00001-0001", "p00002-0001", "p00001-0002", "unknown-0001", ""]


def test_nothing_of_a_header_or_of_a_dicom_files_name_is_copied():
    files = [File("Doe^Jane.dcm", "", ("4711 Doe",), dicom=True), File("Roe.dcm", dicom=True), File("Roe_aug0.dcm", dicom=True)]
    found = resolve(files)
    assert not any(word in str(found) for word in ("Doe", "Roe", "4711"))
    assert found[1].patient == found[2].patient == "p00002"


def test_a_surer_way_holds_for_the_other_files_of_the_patient():
    files = [
        File("1.2.3", "", ("Doe",), dicom=True),
        File("1.2.4", "T1", ("Doe",), dicom=True),
        File("00000013_001.png"),
        File("00000013_002.png", "T2"),
    ]
    assert [each.patient for each in resolve(files)] == ["T1", "T1", "T2", "T2"]


def test_headers_and_names_join_the_files_of_a_patient():
    files = [
        File("1.2.3", "", ("Doe",), dicom=True),
        File("p10/p10000032/a.jpg"),
        File("p10/p10000032/b.dcm", "", ("Doe",), dicom=True),
        File("1.2.4", "", ("Roe",), dicom=True),
    ]
    assert [each.patient for each in resolve(files)] == ["p00001", "p00001", "p00001", "p00002"]
    assert len({each.patient for each in resolve(files[::-1])}) == 2


def test_a_header_that_all_files_share_does_not_join_the_tables_patients():
    files = [File(f"1.2.{i}", f"T{i}", ("ANONYMOUS",), dicom=True) for i in range(3)]
    assert [each.patient for each in resolve(files)] == ["T0", "T1", "T2"]


def test_a_number_that_the_table_uses_is_left_to_it():
    found = resolve([File("1.2.3", "", ("Doe",), dicom=True), File("1.2.4", "p00001", ("Roe",), dicom=True)])
    assert [each.patient for each in found] == ["p00002", "p00001"]


def test_keys_of_headers_join_by_turns():
    headers = [("number 1",), ("number 1", "name Doe"), ("name Doe",), ("number 2",), ()]
    found = resolve([File(f"1.2.{i}", "", keys, dicom=True) for i, keys in enumerate(headers)])
    assert [each.patient for each in found] == ["p00001", "p00001", "p00001", "p00002", ""]


def test_dicom_patients_are_numbered_though_only_a_folder_tells_them():
    files = [File("patient4711/a", dicom=True), File("Patient 19650312/b", dicom=True), File("patient0012/c.png")]
    found = resolve([*files, File("patient4711/d.png")])
    assert [(each.patient, each.way, each.name) for each in found] == [
        ("p00001", "name", "p00001-0001"),
        ("p00002", "name", "p00002-0001"),
        ("patient00012", "name", ""),
        ("p00001", "name", "p00001-0002"),  # a preview beside it
    ]


def test_files_of_one_folder_and_name_are_of_one_patient():
    files = [File("a/x.dcm", "", ("Doe",), dicom=True), File("a/x.jpg"), File("a/y.png"), File("a/y.jpg"), File("b/y.png")]
    found = resolve(files)
    assert [each.patient for each in found] == ["p00001", "p00001", "file a/y", "file a/y", ""]
    assert found[1].name == "p00001-0002"
