"""Set-up says what it cannot do before it begins."""

import re
import subprocess
import sys
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from tests.support.tiny import ROOT
from tools import preflight


@pytest.mark.parametrize(
    ("version", "system", "machine", "reason"),
    [
        ((3, 10), "Linux", "x86_64", "Python 3.10: the pinned packages need 3.11"),
        ((3, 14), "Linux", "x86_64", "Python 3.14: pyjpegls 1.5.1 has no wheel for it"),
        ((3, 12), "Darwin", "x86_64", "macOS on Intel: torch 2.13 has no wheel for it"),
        ((3, 12), "Windows", "AMD64", "Windows: only Linux and macOS on Apple silicon are supported"),
    ],
)
def test_what_is_not_supported_is_named(version, system, machine, reason):
    assert preflight.fault(version, system, machine).startswith(reason)
    assert "\n" not in preflight.fault(version, system, machine)


@pytest.mark.parametrize("version", [(3, 11), (3, 12), (3, 13)])
@pytest.mark.parametrize(("system", "machine"), [("Linux", "x86_64"), ("Linux", "aarch64"), ("Darwin", "arm64")])
def test_what_is_supported_is_not(version, system, machine):
    assert preflight.fault(version, system, machine) == ""


def test_it_runs_without_any_package_and_says_what_it_downloads():
    done = subprocess.run(
        [sys.executable, "-I", "-S", ROOT / "tools/preflight.py"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"Setting up \.venv, once: downloads about [\d.]+ GB.* minutes.*\n", done.stdout)


def test_a_ready_environment_is_left_alone_and_another_torch_is_refused(tmp_path):
    for name in ("Makefile", "requirements.txt"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/torch-index").write_text("\n")
    for name in (".venv/ready", "environment.json"):
        (tmp_path / name).touch()

    def make(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["make", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (make("setup").returncode, make("setup").stderr) == (0, "")
    refused = make("setup", "TORCH_INDEX=https://example.org/cpu")
    assert refused.returncode != 0
    assert refused.stderr.splitlines()[0].startswith("error: .venv has its torch from elsewhere; run make clean")
    (tmp_path / ".venv/torch-index").write_text("https://example.org/cpu\n")
    assert make("setup", "TORCH_INDEX=https://example.org/cpu").returncode == 0


def test_the_readme_names_the_same_size():
    size = re.match(r"about \d+ GB", preflight.CUDA)
    assert size
    assert all(size[0] in (ROOT / page).read_text() for page in ("README.md", "docs/guide.md"))


def pins(name: str) -> dict[str, str]:
    lines = [line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith("#")]
    return {canonicalize_name(package): version for package, version in (line.split("==") for line in lines)}


def test_every_requirement_is_pinned_once():
    pipeline, development = pins("requirements.txt"), pins("requirements-dev.txt")
    assert not pipeline.keys() & development.keys()
    assert {"scikit-image", "dvc", "torch"} <= pipeline.keys()
    assert {"pytest", "ruff", "mypy"} <= development.keys()


def test_the_instrument_needs_what_is_pinned_and_no_pipeline():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [Requirement(line) for line in project["dependencies"]]
    pinned = pins("requirements.txt")
    for requirement in needed:
        assert pinned[canonicalize_name(requirement.name)] in requirement.specifier
    assert not {"dvc", "kaggle", "dask", "distributed", "pandas", "pytest"} & {requirement.name for requirement in needed}
    supported = SpecifierSet(project["requires-python"])
    assert [f"3.{minor}" in supported for minor in range(10, 15)] == [False, True, True, True, False]
