"""Benchmarks keep their figures in a CSV, and the page of speed and memory has its tables from there."""

import re

import pytest

from benchmarks import history
from benchmarks.history import Row
from tests.support.tiny import ROOT
from tools import tables
from tools.markdown import written


@pytest.fixture
def kept(tmp_path):
    path = tmp_path / "history.csv"
    path.write_text(",".join(Row._fields) + "\n")
    return path


def test_figures_come_back_as_they_were_added(kept):
    figures = [
        *history.spread("train_vdsr ours", [3.0, 1.0, 20.0], "patches/s"),
        ("evaluate ours over plain", 2.34567, "ratio"),
    ]
    added = history.add(figures, "a test, of two rounds", kept)
    assert history.read(kept) == added
    assert [(row.what, row.value) for row in added] == [
        ("train_vdsr ours median", "3"),
        ("train_vdsr ours lowest", "1"),
        ("train_vdsr ours highest", "20"),
        ("evaluate ours over plain", "2.346"),
    ]
    assert {row.processor for row in added} == {history.processor()}


@pytest.mark.parametrize(
    ("flags", "limit", "kind"),
    [
        ("fpu avx2 avx512f amx_bf16 avx512_bf16", None, "Intel Xeon with AMX (2 cores)"),
        ("fpu avx2 avx512f avx512_bf16", None, "Intel Xeon with AVX512-bf16 (2 cores)"),
        ("fpu avx2", None, "Intel Xeon with AVX2 (2 cores)"),
        ("fpu avx2 amx_bf16", "AVX2", "Intel Xeon with AMX (2 cores) with ONEDNN_MAX_CPU_ISA=AVX2"),
    ],
)
def test_a_processor_is_known_by_what_it_multiplies_with(monkeypatch, flags, limit, kind):
    monkeypatch.setattr(history, "_cpuinfo", lambda: ["model name\t: Intel(R) Xeon(R) Processor", f"flags\t\t: {flags}"])
    monkeypatch.setattr(history.torch, "get_num_threads", lambda: 2)
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    if limit:
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    assert history.processor() == kind


def row(what: str, value: str, processor: str = "A", date: str = "2026-01-01") -> Row:
    return Row(date, processor, "torch 2", what, value, "ratio", "test")


def test_the_last_figures_are_those_of_the_same_kind_of_processor():
    rows = [row("x ours over plain", str(i), date=f"2026-01-0{i}") for i in range(1, 5)]
    rows += [row("x ours over plain", "9", processor="B"), row("x plain median", "7")]
    (line,) = history.last(rows, "A", ("ours over plain",), most=2)
    assert line.split(maxsplit=4)[-1] == "3 (2026-01-03), 4 (2026-01-04) ratio"


def test_a_table_has_the_latest_figures():
    names = [f"edsr x{scale} {each}" for scale in (2, 3, 4) for each in ("median", "lowest", "highest")]
    old = [row(name, "1") for name in names]
    new = [row(name, str(value)) for value, name in enumerate(names, start=1200)]
    page = "before\n<!-- table restoring -->\nstale\n<!-- end -->\nafter\n"
    rows = [*old, *new, row("edsr peak memory of 2000x2500 at x2", "598")]
    lines = written(page, tables.of_history(rows)).splitlines()
    speeds = "1,200 (1,201 to 1,202) | 1,203 (1,204 to 1,205) | 1,206 (1,207 to 1,208)"
    assert f"| A | EDSR | {speeds} | - | 598 |" in lines
    assert (lines[0], lines[-1]) == ("before", "after")
    assert "stale" not in lines


def test_seconds_of_learning_are_told_for_each_seed_and_where_they_were_not_enough():
    rows = [row("edsr learns +1.2 dB", "99"), row("edsr learns +1.2 dB", "101"), row("plain has not learnt +1.2 dB", "1800")]
    lines = tables.learning(tables.Figures(rows))
    assert lines[2:] == ["| A | EDSR | 99, 101 |", "|  | VDSR, plain | not in 1800 |"]


def test_the_page_has_every_table_of_speed_and_memory():
    page = (ROOT / "docs/performance.md").read_text()
    figures = tables.of_history(history.read(ROOT / history.HISTORY))
    assert page == written(page, figures)
    assert set(re.findall(r"<!-- table (\w+) -->", page)) == set(figures)
    assert len(page.splitlines()) <= 120
