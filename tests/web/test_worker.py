"""Whose turn it is, and what becomes of a worker process that dies, hangs or is too old."""

import asyncio
import os
import shutil
import signal
import threading
import time
from datetime import datetime

import numpy as np
import pytest

from cxr.foundation.errors import UserError
from cxr.foundation.place import ROOT
from cxr.sources.phantom.scene import draw
from cxr.viewed import Viewed
from cxr.web import worker as worker_module
from cxr.web.tasks import Draw, Drawn, Export, Failed, Open
from cxr.web.work import _answered
from cxr.web.worker import FullError, Limits, Worker
from tests.web.files import png


def test_browsers_take_turns_and_the_nearest_tile_comes_first(monkeypatch):
    """While the first task is answered, the others come in."""
    served, go = [], threading.Event()

    def answer(_, waiting):
        served.append(waiting.task.content)
        go.wait(10)
        return Failed(waiting.task.content.decode())

    monkeypatch.setattr(Worker, "_answer", answer)

    async def main():
        worker = Worker("edsr")
        async with worker.taking_turns():
            asked = [(b"first", "a", 0), (b"far", "a", 9), (b"near", "a", 1), (b"b far", "b", 8), (b"b near", "b", 2)]
            waiting = []
            for content, browser, distance in asked:
                waiting.append(asyncio.create_task(worker.ask(Open(content), browser, distance)))
                await asyncio.sleep(0.05)
            waiting[3].cancel()
            go.set()
            answers = await asyncio.gather(*waiting, return_exceptions=True)
        worker.close()
        return answers

    answers = asyncio.run(main())
    assert served == [b"first", b"near", b"b near", b"far"]
    assert [getattr(each, "reason", None) for each in answers] == ["first", "far", "near", None, "b near"]


def test_beyond_what_may_wait_nothing_is_taken(monkeypatch):
    monkeypatch.setattr(Worker, "_answer", lambda *_: time.sleep(0.2) or Failed(""))

    async def main():
        worker = Worker("edsr", Limits(waiting=2))
        async with worker.taking_turns():
            waiting = [asyncio.create_task(worker.ask(Open(b""), "a")) for _ in range(5)]
            answers = await asyncio.gather(*waiting, return_exceptions=True)
        worker.close()
        return [type(each) for each in answers]

    assert asyncio.run(main()).count(FullError) == 3


@pytest.fixture(scope="module")
def worker():
    found = Worker("srcnn", Limits(seconds=30, files=3))
    found.begin()
    yield found
    found.close()


def ask(worker, *tasks):
    async def main():
        async with worker.taking_turns():
            return [await worker.ask(task, "a") for task in tasks]

    return asyncio.run(main())


def test_a_process_that_was_killed_is_replaced_and_the_task_is_done(worker):
    content = png(draw(0, 1, 96, 12).pixels)
    first, before = worker.process_id, worker.replaced
    os.kill(first, signal.SIGKILL)
    (found,) = ask(worker, Open(content))
    assert isinstance(found, Viewed)
    assert worker.process_id not in (None, first)
    assert worker.replaced == before + 1


def test_after_so_many_files_it_is_replaced(worker):
    content = png(np.arange(80 * 80, dtype=np.uint16).reshape(80, 80))
    ask(worker, Open(content))  # a process
    first = worker.process_id
    found = ask(worker, *[Open(content)] * 3)
    assert [each.digest for each in found] == [found[0].digest] * 3
    assert worker.process_id != first


def test_no_file_is_left(worker):
    ask(worker, Open(b"no radiograph"), Open(png(np.zeros((70, 70), np.uint8))))
    assert [path.name for path in worker._folder.iterdir()] == ["lock"]


def test_folders_of_servers_that_are_gone_are_removed():
    place = worker_module.IN_MEMORY
    gone, another = place / "cxr-serve-gone", place / "cxr-serve-no-lock"
    for folder in (gone, another):
        folder.mkdir()
        (folder / "radiograph").write_bytes(b"pixels")
    (gone / "lock").touch()
    alive, worker = Worker("srcnn"), Worker("srcnn")
    assert not gone.exists()
    assert another.exists()  # whatever that is
    assert alive._folder.exists()
    assert worker._folder.stat().st_mode & 0o077 == 0
    for each in (alive, worker):
        each.close()
        assert not each._folder.exists()
    shutil.rmtree(another)


def test_whatever_the_pipe_raises_others_are_answered(monkeypatch, capsys):
    """Else the first such thing would be the last that is answered."""
    started = Worker._started
    raised = [OSError("no more processes"), ValueError("anything")]

    def once(worker):
        if raised:
            raise raised.pop()
        return started(worker)

    monkeypatch.setattr(Worker, "_started", once)
    worker = Worker("srcnn")
    content = png(np.zeros((70, 70), np.uint8))
    first, second = ask(worker, Open(content), Open(content))
    assert first == Failed(worker_module.STOPPED)
    told = capsys.readouterr().err.splitlines()
    assert told == ["the worker process was ended: ValueError", "the worker process was ended: OSError"]
    assert isinstance(second, Viewed)
    worker.close()


def test_an_export_that_nobody_waits_for_is_stopped():
    worker = Worker(str(ROOT / "pretrained/vdsr.safetensors"), Limits(seconds=100))
    worker.begin()
    content = png(draw(0, 1, 700, 12).pixels)

    async def main():
        async with worker.taking_turns():
            asking = asyncio.create_task(worker.ask(Export(content, ".png", 4, 1.0, datetime(2026, 1, 1)), "a"))
            await asyncio.sleep(0.5)
            asking.cancel()
            begun = time.monotonic()
            await worker.ask(Open(png(np.zeros((70, 70), np.uint8))), "b")
            return time.monotonic() - begun

    before = worker.replaced
    assert asyncio.run(main()) < 30
    assert worker.replaced == before + 1
    worker.close()


def test_what_a_library_raises_is_one_line_that_quotes_nothing():
    def fails(_):
        raise NotImplementedError("value of PatientName: Doe")

    assert _answered(fails, Open(b"")) == Failed("the server failed at this (NotImplementedError); leave this file out")

    def takes(_):
        raise MemoryError

    assert "more memory" in _answered(takes, Open(b"")).reason


def test_a_process_that_hangs_is_ended():
    worker = Worker("srcnn", Limits(seconds=0.3))
    worker.begin()
    first = worker.process_id
    os.kill(first, signal.SIGSTOP)
    (found,) = ask(worker, Draw(3))
    assert found == Failed("the server did not finish this within 0.3 seconds; leave this file out")
    assert worker.process_id is None
    worker.limits = Limits(seconds=60)
    assert isinstance(ask(worker, Draw(3))[0], Drawn)
    worker.close()


def test_a_network_that_is_none_is_told_in_one_line():
    worker = Worker("nowhere.safetensors")
    with pytest.raises(UserError, match=r"nowhere\.safetensors is missing"):
        worker.begin()
    worker.close()
