import re
import subprocess
import sys

import pytest

from cxr.foundation.errors import UserError
from stages import check
from tests.support.tiny import ROOT, write_params


def test_the_committed_parameters_pass_and_leave_a_constant(tmp_path):
    write_params(tmp_path)
    check.run(tmp_path)
    first = (tmp_path / "data/params.ok").read_bytes()
    write_params(tmp_path, {"train_vdsr": {"steps": 7}})
    check.run(tmp_path)
    assert (tmp_path / "data/params.ok").read_bytes() == first


@pytest.mark.parametrize("section", list(check.SECTIONS))
def test_a_typo_in_any_section_is_one_line(tmp_path, section):
    write_params(tmp_path)
    path = tmp_path / "params.yaml"
    text = path.read_text()
    key = re.search(rf"^{section}:.*\n  (\w+):", text, re.MULTILINE)
    assert key
    path.write_text(text[: key.start(1)] + "x" + text[key.start(1) :])
    with pytest.raises(UserError, match=rf"{section}\.x{key[1]} is unknown; did you mean {key[1]}\?"):
        check.run(tmp_path)
    assert not (tmp_path / "data/params.ok").exists()


@pytest.mark.parametrize(
    ("section", "keys", "problem"),
    [
        ("split", {"train": 0.9}, "train, val and test are 0.9, 0.1 and 0.1 and add up to 1.1; expected 1"),
        ("download", {"source": "local", "path": " "}, "path is empty; with the source local it names a zip or a folder"),
        ("train_vdsr", {"ranks": 3}, "a batch of 4 cannot be shared among 3 ranks; make it a multiple of ranks"),
    ],
)
def test_values_that_do_not_fit_together_are_told_with_their_file_and_section(tmp_path, section, keys, problem):
    write_params(tmp_path, {section: keys})
    with pytest.raises(UserError) as refused:
        check.run(tmp_path)
    assert str(refused.value) == f"{tmp_path / 'params.yaml'}: {section}: {problem}"


def test_an_edsr_that_is_told_of_clean_crops_alone_is_refused(tmp_path):
    write_params(tmp_path, {"edsr": {"told": True}})
    with pytest.raises(UserError, match=r"edsr\.told is true and ranges\.clean 1, so there is nothing to tell"):
        check.run(tmp_path)
    write_params(tmp_path, {"edsr": {"told": True}, "ranges": {"clean": 0.5}})
    check.run(tmp_path)


@pytest.mark.parametrize(
    ("scales", "patch", "reason"),
    [
        ([2, 3, 4], 41, "train_edsr.patch is 41, no multiple of the scale 2; set a multiple of 12"),
        ([2, 3, 4], 90, "train_edsr.patch is 90, no multiple of the scale 4; set a multiple of 12"),
        ([3], 40, "train_edsr.patch is 40, no multiple of the scale 3; set a multiple of 3"),
    ],
)
def test_a_patch_of_edsr_that_a_scale_does_not_divide_is_told_at_once(tmp_path, scales, patch, reason):
    write_params(tmp_path, {"degrade": {"scales": scales}, "train_edsr": {"patch": patch}})
    with pytest.raises(UserError) as refused:
        check.run(tmp_path)
    assert str(refused.value) == f"{tmp_path / 'params.yaml'}: {reason}"
    write_params(tmp_path, {"degrade": {"scales": scales}, "train_edsr": {"patch": 48}})
    check.run(tmp_path)


@pytest.mark.parametrize(("key", "value"), [("stall_seconds", 0), ("stall_seconds", "long"), ("retry_minutes", -1)])
def test_patience_with_the_network_has_bounds(tmp_path, key, value):
    write_params(tmp_path, {"runtime": {key: value}})
    with pytest.raises(UserError, match=rf"runtime\.{key} is .*; expected a number at least"):
        check.run(tmp_path)


def test_an_unknown_section_is_refused(tmp_path):
    write_params(tmp_path)
    with (tmp_path / "params.yaml").open("a") as file:
        file.write("errormap:\n  panels: 2\n")
    with pytest.raises(UserError, match="the section errormap is unknown; did you mean errormaps"):
        check.run(tmp_path)


def test_a_mistake_ends_the_process_with_one_line_and_no_traceback(tmp_path):
    write_params(tmp_path, {"split": {"train": 0.9}})
    done = subprocess.run(
        [sys.executable, "-m", "stages.check"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == "error: params.yaml: split: train, val and test are 0.9, 0.1 and 0.1 and add up to 1.1; expected 1\n"
