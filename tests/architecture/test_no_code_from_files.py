"""Nothing that the project reads can make it run code: no pickle, no eval, no shell."""

import ast
from pathlib import Path

import pytest

from tests.support.tiny import ROOT

FILES = sorted(path for folder in ("cxr", "stages", "tools", "benchmarks") for path in (ROOT / folder).rglob("*.py"))
MODULES = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "jsonpickle", "yaml"}
NAMES = {"eval", "exec", "compile", "__import__"}
CALLS = {"os.system", "os.popen", "pd.read_pickle", "subprocess.getoutput", "torch.jit.load"}


def faults(source: str) -> list[str]:
    """Return what in `source` could run code that is in a file."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom):
            found += [str(node.module)] if str(node.module).split(".")[0] in MODULES else []
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            options = {option.arg: ast.unparse(option.value) for option in node.keywords}
            if called in NAMES | CALLS:
                found.append(called)
            if options.get("shell", "False") != "False":
                found.append(f"{called} with a shell")
            if options.get("allow_pickle", "False") != "False":
                found.append(f"{called} with allow_pickle")
            if called == "torch.load" and options.get("weights_only") != "True":
                found.append("torch.load without weights_only=True")
            if called == "YAML" and options.get("typ", "'rt'") not in {"'rt'", "'safe'"}:
                found.append(f"YAML of type {options['typ']}")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_file_can_run_code(path: Path) -> None:
    assert faults(path.read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import joblib.externals",
        "eval('1')",
        "exec('1')",
        "subprocess.run('ls', shell=True)",
        "subprocess.run('ls', shell=shell)",
        "np.load(path, allow_pickle=True)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "os.system('ls')",
        "YAML(typ='unsafe')",
    ],
)
def test_the_reader_sees_what_could(source: str) -> None:
    assert len(faults(source)) == 1
