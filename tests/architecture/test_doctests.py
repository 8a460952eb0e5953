"""The examples in docstrings are true."""

import doctest
import importlib

import pytest

from tests.support.tiny import ROOT

MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for folder in ("cxr", "tools")
    for path in (ROOT / folder).rglob("*.py")
    if ">>> " in path.read_text()
)


def test_the_public_face_has_an_example():
    assert "cxr.api" in MODULES


@pytest.mark.parametrize("name", MODULES)
def test_examples_are_true(name):
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted > 0
    assert found.failed == 0
