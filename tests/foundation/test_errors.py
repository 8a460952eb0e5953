import errno

import pytest

from cxr.foundation.errors import UserError, one_line_errors


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UserError("a mistake"), "error: a mistake"),
        (OSError(errno.ENOSPC, "Full", "data/x"), "error: data/x: Full; make room and run it again"),
        (OSError(errno.EDQUOT, "Quota exceeded"), "error: a file: Quota exceeded; make room and run it again"),
        (
            PermissionError(errno.EACCES, "Permission denied", "x"),
            "error: x: Permission denied; get permission for it and run it again",
        ),
        (OSError(errno.EROFS, "Read-only", "x"), "error: x: Read-only; get permission for it and run it again"),
        (OSError(errno.EIO, "I/O error", "x"), "error: x: I/O error; see to its disk and run it again"),
        (OSError(errno.ESTALE, "Stale file handle", "x"), "error: x: Stale file handle; see to its disk and run it again"),
        (OSError(errno.ELOOP, "Too many links", "x"), "error: x: Too many links; see to it and run it again"),
        (KeyboardInterrupt(), 130),
    ],
    ids=["mistake", "full disk", "full quota", "permission", "read-only", "broken disk", "lost mount", "loop", "Ctrl-C"],
)
def test_what_the_user_did_or_can_mend_ends_without_a_traceback(error, code):
    with pytest.raises(SystemExit) as ended, one_line_errors():
        raise error
    assert ended.value.code == code


def test_what_is_not_is_let_through():
    with pytest.raises(FileNotFoundError), one_line_errors():
        raise FileNotFoundError(errno.ENOENT, "no")
