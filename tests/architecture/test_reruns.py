"""What an edit reruns is what dvc.yaml says."""

import pytest

from cxr.foundation.errors import UserError
from tests.support.tiny import ROOT
from tools.reruns import reruns


def test_an_edit_of_a_network_reruns_what_uses_it_and_then_what_reads_that():
    for name in ("vdsr", "edsr"):
        first, then = reruns(str(ROOT / f"cxr/superres/networks/{name}.py"))
        assert first == [f"train_{name}", "evaluate"]
        assert then == ["errormaps", "detect"]


def test_a_file_of_no_stage_reruns_nothing():
    assert reruns(str(ROOT / "cxr/cli/enhance.py")) == ([], [])


@pytest.mark.parametrize(
    ("path", "reason"), [("nothing.py", "is no file of this project"), ("params.yaml", "each stage whose section has changed")]
)
def test_what_it_cannot_tell_it_says(path, reason):
    with pytest.raises(UserError, match=reason):
        reruns(str(ROOT / path))
