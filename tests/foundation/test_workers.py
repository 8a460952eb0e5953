import gc
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from dask.distributed import Client, LocalCluster

from cxr.foundation import workers
from cxr.foundation.errors import UserError
from cxr.foundation.workers import in_order
from stages import download, preprocess
from tests.support.tiny import TINY, write_params

ASK = ["sh", "-c", "echo $PPID"]  # which process has this done


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as local:
        yield local.scheduler_address


def processes_of(count: int, **where) -> list[int]:
    settings = {"processes": 1, "cluster": "", "folder": Path("/"), **where}
    return [int(answer) for answer in in_order(subprocess.check_output, [ASK] * count, **settings)]


def test_a_dask_cluster_prepares_the_same_bytes(tmp_path, cluster):
    written = {}
    for name, runtime in {"here": {"workers": 1}, "there": {"cluster": cluster}}.items():
        workspace = tmp_path / name
        workspace.mkdir()
        write_params(workspace, TINY, {"runtime": runtime})
        download.run(workspace)
        preprocess.run(workspace)
        written[name] = {
            path.relative_to(workspace): path.read_bytes()
            for path in workspace.rglob("*")
            if path.is_file() and path.name != "params.yaml"
        }
    assert len(written["here"]) > TINY["phantom"]["images"]
    assert written["there"] == written["here"]


def test_the_work_is_done_where_it_should_be(cluster):
    assert set(processes_of(5)) == {os.getpid()}
    assert os.getpid() not in processes_of(9, processes=2)
    on_cluster = processes_of(9, cluster=cluster)
    assert os.getpid() not in on_cluster
    assert processes_of(9, cluster=cluster, processes=4)[0] in on_cluster


def test_results_come_in_order_whoever_is_first(cluster):
    words = [["sh", "-c", f"sleep {wait}; echo {wait}"] for wait in (0.3, 0, 0.2, 0.1, 0, 0)]
    for where in ({"processes": 2, "cluster": ""}, {"processes": 1, "cluster": cluster}):
        answers = list(in_order(subprocess.check_output, words, folder=Path("/"), **where))
        assert [float(answer) for answer in answers] == [0.3, 0, 0.2, 0.1, 0, 0]


def test_a_scheduler_that_is_not_there_is_told_in_one_line(monkeypatch):
    monkeypatch.setattr(workers, "CONNECT_SECONDS", 0.5)
    for address in ("tcp://127.0.0.1:9", "tls://127.0.0.1:9", "nonsense", "xyz://127.0.0.1:8786"):
        with pytest.raises(UserError, match=rf"runtime\.cluster '{address}': no Dask scheduler answers there") as error:
            processes_of(1, cluster=address)
        assert "\n" not in str(error.value)


def test_an_address_that_is_none_leaves_no_client_half_open():
    """Dask waits for ten seconds and fails when such a one is collected while the next client starts."""
    for address in ("nonsense", "tcp://127.0.0.1:port", "tls://127.0.0.1:9"):
        with pytest.raises(UserError):
            processes_of(1, cluster=address)
    clients = [one for one in gc.get_objects() if type(one) is Client]
    assert {one.status for one in clients} <= {"closed"}


def test_a_cluster_without_workers_is_told():
    with (
        LocalCluster(n_workers=0, dashboard_address=":0") as local,
        pytest.raises(UserError, match="it has no workers; start some"),
    ):
        processes_of(1, cluster=local.scheduler_address)


def test_workers_that_do_not_see_the_folder_are_told_apart(cluster):
    with pytest.raises(UserError, match=r"does not see /nowhere; the folder must be shared"):
        processes_of(1, cluster=cluster, folder=Path("/nowhere"))


def test_workers_with_other_code_are_not_trusted(cluster, monkeypatch, tmp_path):
    monkeypatch.setattr(workers, "PACKAGE", tmp_path)  # only here: the workers keep theirs
    with pytest.raises(UserError, match="runs other code or packages than this; start it again"):
        processes_of(1, cluster=cluster)


def test_what_a_job_raises_comes_through(cluster):
    for where in ({"processes": 2, "cluster": ""}, {"processes": 1, "cluster": cluster}):
        with pytest.raises(subprocess.CalledProcessError):
            list(in_order(subprocess.check_output, [["false"]] * 3, folder=Path("/"), **where))
