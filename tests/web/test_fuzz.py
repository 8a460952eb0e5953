"""Damaged files by HTTP: an answer of one line, no traceback, and a worker that lives; `make fuzz` tries more."""

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.support.damage import image, mutated
from tests.support.dicom_files import BY_GDCM, BY_PYDICOM, dataset, save, values
from tests.support.serving import serving

TIMES = int(os.environ.get("FUZZ_TIMES", "1"))
COMMON: dict[str, Any] = {
    "deadline": None,
    "derandomize": TIMES == 1,
    "database": None,
    "suppress_health_check": list(HealthCheck),
}


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("serving"), "--model", "srcnn") as server:
        yield server.browser()


def answered(browser, content: bytes) -> None:
    answer = browser.ask("PUT", "/radiographs", content)
    assert answer.status in {201, 422}
    assert b"Traceback" not in answer.content
    if answer.status == 201:
        path = f"/radiographs/{answer.said['id']}"
        assert browser.ask("GET", f"{path}/values/0/0").status == 200
        assert browser.ask("DELETE", path).status == 204
    else:
        assert "\n" not in answer.said["error"]
        assert "worker process stopped" not in answer.said["error"]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_mutated_images_are_shown_or_told(browser, kind):
    @settings(max_examples=10 * TIMES, **COMMON)
    @given(mutated(image(kind)))
    def shown_or_told(content: bytes) -> None:
        answered(browser, content)

    shown_or_told()


@pytest.mark.parametrize("syntax", [*BY_PYDICOM, *BY_GDCM], ids=lambda syntax: syntax.name.replace(" ", ""))
def test_mutated_dicom_files_are_shown_or_told(browser, tmp_path, syntax):
    content = save(dataset(values()), tmp_path / "a.dcm", syntax).read_bytes()

    @settings(max_examples=4 * TIMES, **COMMON)
    @given(mutated(content))
    def shown_or_told(content: bytes) -> None:
        answered(browser, content)

    shown_or_told()
