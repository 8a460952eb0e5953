"""Use the page's server hard, and see that nobody gets another's pixels and that it stays: `make soak`.

    python -m tests.support.soak [--browsers 8] [--files 50] [--kills 60] [--requests 10000]

Browsers at once open files of their own and ask for values, tiles and results; then the worker process is killed again and
again while tiles are asked for; then many requests are made. Told are wrong pixels, what was not answered, how long the health
check took meanwhile, and memory before and after. It ends with 1 if anything is wrong.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import psutil

from cxr.foundation.place import ROOT
from tests.support.serving import Browser, Serving, serving
from tests.web.files import png

SIDE = 96


def file_of(key: int) -> np.ndarray:
    """Return a radiograph that is nobody else's: smooth, of 16 bits."""
    smooth = cv2.GaussianBlur(np.random.default_rng(key).normal(size=(SIDE, SIDE)), (0, 0), 3)
    return ((smooth - smooth.min()) / np.ptp(smooth) * 60_000).astype(np.uint16)


def tile(browser: Browser, opened: dict) -> np.ndarray | None:
    answer = browser.ask("GET", f"/radiographs/{opened['id']}/enhanced/2/0/0")
    while answer.status == 503:
        time.sleep(float(answer.headers["retry-after"]))
        answer = browser.ask("GET", f"/radiographs/{opened['id']}/enhanced/2/0/0")
    if answer.status != 200:
        return None
    return np.frombuffer(answer.content, "<u2").reshape(2 * SIDE, 2 * SIDE)


def own(made: np.ndarray | None, pixels: np.ndarray) -> bool:
    """Tell whether a tile is of these pixels: reduced, it is theirs within a hundredth of white."""
    if made is None:
        return False
    again = made.astype(float).reshape(SIDE, 2, SIDE, 2).mean(axis=(1, 3))
    return bool(np.abs(again - pixels).mean() < 600)


def used(browser: Browser, number: int, files: int) -> list[str]:
    """Open so many files, and return what was wrong."""
    wrong = []
    for index in range(files):
        pixels = file_of(1000 * number + index)
        opened = browser.open(png(pixels))
        values = browser.ask("GET", f"/radiographs/{opened['id']}/values/0/0").content
        if values != pixels.astype("<u2").tobytes():
            wrong.append(f"browser {number}, file {index}: other values")
        if not own(tile(browser, opened), pixels):
            wrong.append(f"browser {number}, file {index}: another tile")
        browser.ask("DELETE", f"/radiographs/{opened['id']}")
    return wrong


def killed(server: Serving, browsers: list[Browser], kills: int) -> list[str]:
    """Kill the worker process so often while tiles are asked for, and return what was wrong."""
    over, wrong, counts = threading.Event(), [], Counter()

    def ask(number: int) -> None:
        pixels = file_of(number)
        opened = browsers[number].open(png(pixels))
        while not over.is_set():
            answered = browsers[number].ask("GET", f"/radiographs/{opened['id']}/enhanced/2/0/0")
            counts[answered.status] += 1
            if answered.status == 200 and not own(np.frombuffer(answered.content, "<u2").reshape(2 * SIDE, 2 * SIDE), pixels):
                wrong.append(f"browser {number}: another tile")

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(browsers))]
    for thread in threads:
        thread.start()
    done = 0
    while done < kills:
        time.sleep(random.uniform(0.05, 1.0))
        workers = [each for each in psutil.Process(server.process.pid).children() if "spawn_main" in " ".join(each.cmdline())]
        for each in workers[-1:]:
            os.kill(each.pid, signal.SIGKILL)
            done += 1
    over.set()
    for thread in threads:
        thread.join(120)
        if thread.is_alive():
            wrong.append("a request was never answered")
    if not own(tile(browsers[0], browsers[0].open(png(file_of(0)))), file_of(0)):
        wrong.append("afterwards no tile is made")
    print(f"answers meanwhile, by status: {dict(counts)}", flush=True)
    return wrong


def health(server: Serving, over: threading.Event, took: list[float]) -> None:
    while not over.is_set():
        begun = time.monotonic()
        server.ask("GET", "/health")
        took.append(1000 * (time.monotonic() - begun))
        time.sleep(0.02)


def memory(server: Serving) -> float:
    """Return how many MB the server and its processes take."""
    process = psutil.Process(server.process.pid)
    return sum(each.memory_info().rss for each in (process, *process.children(recursive=True))) / 1e6


def unlimited(folder: Path) -> str:
    """Copy the bundled EDSR to where no limits are, which refuse some drawings; return its path."""
    return str(shutil.copy(ROOT / "pretrained/edsr.safetensors", folder / "edsr.safetensors"))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    for name, value in (("browsers", 8), ("files", 50), ("kills", 60), ("requests", 10_000)):
        parser.add_argument(f"--{name}", type=int, default=value)
    given = parser.parse_args()
    wrong: list[str] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder), "--model", unlimited(Path(folder)), threads=0) as server,
    ):
        browsers = [server.browser() for _ in range(given.browsers)]
        with ThreadPoolExecutor(given.browsers) as pool:
            list(pool.map(lambda browser: used(browser, 99, 1), browsers))  # all is loaded
            before, over, took = memory(server), threading.Event(), []
            watching = threading.Thread(target=health, args=(server, over, took))
            watching.start()
            for each in pool.map(used, browsers, range(given.browsers), [given.files] * given.browsers):
                wrong += each
            over.set()
            watching.join()
            late = np.percentile(took, 99)
            print(f"{given.browsers} browsers, {given.files} files each: {len(wrong)} wrong; health {late:.0f} ms at 99%")
            print(f"memory {before:.0f} MB before, {memory(server):.0f} MB after", flush=True)
            found = killed(server, browsers, given.kills)
            wrong += found
            print(f"killed {given.kills} times: {len(found)} wrong; memory {memory(server):.0f} MB", flush=True)
            begun = time.monotonic()
            asked = pool.map(lambda number: browsers[number % len(browsers)].ask("GET", "/main.js"), range(given.requests))
            wrong += [f"status {answer.status}" for answer in asked if answer.status != 200]
            rate = given.requests / (time.monotonic() - begun)
            print(f"{given.requests} requests, {rate:.0f} a second; memory {memory(server):.0f} MB", flush=True)
    print(*wrong, sep="\n")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
