"""Python and DVC already started: `python -m stages.NAME` and `dvc` without the seconds that their imports take.

A server imports what the project's dependencies are, and nothing of the project. For each command it forks a process that
has its working folder, environment and standard streams, and runs the module there as `python -m` would.
The first `dvc repro` of the tests goes without it (`test_pipeline.first`), and so does whatever a test kills: here the
process that works is a child of the server, not of who has asked.
"""

import array
import atexit
import contextlib
import importlib
import json
import os
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

LIBRARIES = (
    *("torch", "torch.optim.swa_utils", "torch.nn.parallel", "torch.distributed.run", "numpy", "pandas", "cv2"),
    *("PIL.Image", "safetensors.torch", "filelock", "tqdm", "ruamel.yaml"),
    *("matplotlib.figure", "matplotlib.backends.backend_agg", "matplotlib.style"),
    *("scipy.stats", "scipy.interpolate", "scipy.ndimage", "scipy.optimize", "sklearn.model_selection", "sklearn.metrics"),
    *("dvc.cli", "dvc.repo", "dvc.repo.plots", "dvc.repo.metrics.diff", "dvc.repo.experiments.run", "dvc.stage.run"),
    *("dvc_render", "dvc.commands.repro", "dvc.commands.status", "dvc.commands.metrics", "dvc.commands.plots"),
)
CLIENT = """#!{python} -IS
import array, json, os, socket, sys
arguments = {arguments}
if arguments[:1] == ["-u"]:
    arguments = arguments[1:]
if arguments[:1] != ["-m"] or not arguments[1].startswith(("stages.", "dvc")):
    os.execv({python!r}, [{python!r}, *arguments])
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
given = json.dumps([arguments[1:], os.getcwd(), dict(os.environ)]).encode()
server.sendmsg([len(given).to_bytes(8, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))])
server.sendall(given)
answer = server.recv(1)
os._exit(answer[0] if answer else 137)
"""


def start(folder: Path, watched: int) -> Path:
    """Start a server that ends with the process `watched`; return the folder of the commands `python` and `dvc`, in `folder`.

    Does nothing where `folder` already has them.
    """
    commands = folder / "warm"
    if (commands / "dvc").exists():
        return commands
    address = Path(tempfile.mkdtemp(prefix="warm-", dir="/tmp"), "socket")  # short: 104 bytes are all that a system may allow
    single = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}  # threads do not live through a fork
    server = subprocess.Popen(
        [sys.executable, __file__, str(address), str(watched)], env={**os.environ, **single}, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not address.exists():
        assert server.poll() is None, "the server of warm commands has ended; what it said is above"
        assert time.monotonic() < deadline, "the server of warm commands does not start"
        time.sleep(0.05)
    commands.mkdir()
    for name, arguments in (("python", "sys.argv[1:]"), ("dvc", '["-m", "dvc", *sys.argv[1:]]')):
        client = CLIENT.format(python=sys.executable, arguments=arguments, address=str(address))
        (commands / name).write_text(client)
        (commands / name).chmod(0o755)
    return commands


def _serve(address: str, watched: int) -> None:
    for name in LIBRARIES:
        importlib.import_module(name)
    assert threading.active_count() == 1, threading.enumerate()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how they ended
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{address}.partial")
        server.listen(64)
        server.settimeout(1)
        Path(f"{address}.partial").rename(address)
        while _alive(watched):
            try:
                client, _ = server.accept()
            except TimeoutError:
                continue
            if os.fork() == 0:
                server.close()
                _answer(client)
            client.close()
    shutil.rmtree(Path(address).parent)


def _alive(process: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, 0)
        return True
    return False


def _answer(client: socket.socket) -> None:
    """Run what `client` asks for, in this process, and tell it the exit code."""
    client.setblocking(True)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    length, ancillary, _, _ = client.recvmsg(8, socket.CMSG_SPACE(3 * 4))
    streams = array.array("i", ancillary[0][2])
    given = b""
    while len(given) < int.from_bytes(length, "big"):
        given += client.recv(1 << 16)
    (module, *arguments), folder, environment = json.loads(given)
    for wanted, stream in enumerate(streams):
        os.dup2(stream, wanted)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = [module, *arguments]
    paths = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:1] = [folder, *paths]
    code = 0
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
    except BaseException:  # as the interpreter would
        traceback.print_exc()
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    client.sendall(bytes([code]))
    os._exit(code)


if __name__ == "__main__":
    sys.path[0] = ""  # as `python -m` has it; replaced by the folder of each command
    _serve(sys.argv[1], int(sys.argv[2]))
