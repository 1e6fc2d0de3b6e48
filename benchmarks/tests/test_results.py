"""Tables, shares and files from numbers that are known."""

from __future__ import annotations

import dataclasses
import json
import os

import pytest

from benchmarks import machine
from benchmarks.__main__ import Report
from benchmarks.blocks import Blocks
from benchmarks.plot import plot_ratios, ratio_bars
from benchmarks.results import ContenderResult, WorkloadResult
from benchmarks.study import read_times
from benchmarks.table import workload_table
from benchmarks.workloads import Workload
from histogan_tf.machine import processor

PEAKS = {"float32": 100e9, "bfloat16": 200e9}


@pytest.fixture
def result() -> WorkloadResult:
    return WorkloadResult(
        Workload("toy", "Toy", "step", ()),
        [
            ContenderResult("ours", "float32", Blocks(1, 2, (1.0, 2.0, 4.0)), 1500.0, 80_000_000_000, 0.0),
            ContenderResult("ours", "bfloat16", Blocks(1, 4, (1.0, 2.0, 4.0)), 1000.0, 80_000_000_000, 0.01),
            ContenderResult("other", "float32", Blocks(1, 1, (1.0, 2.0, 4.0)), 2000.0, None, 1e-5),
            ContenderResult("broken", "float32", failure="no compiler"),
        ],
    )


def test_the_table_tells_rates_ratios_memory_and_share_of_the_peak(result):
    title, _, header, rule, *rows, _, failure = workload_table(result, PEAKS).splitlines()
    assert title == "**Toy**"
    assert cells(header)[1:6] == ["steps/s", "min", "max", "ours float32 is", "ours bfloat16 is"]
    assert cells(header)[6:] == ["memory", "GFLOP per step", "of peak"]
    assert len({len(line) for line in (header, rule, *rows)}) == 1
    assert [cells(row) for row in rows] == [
        ["ours, float32", "1", "0.5", "2", "1.00x", "2.00x", "1.5 GB", "80", "80 %"],
        ["ours, bfloat16", "2", "1", "4", "0.50x", "1.00x", "1.0 GB", "80", "80 %"],
        ["other, float32", "0.5", "0.25", "1", "2.00x", "4.00x", "2.0 GB", "", ""],
    ]
    assert failure == "- broken, float32: not measured: no compiler"


def test_a_column_of_which_nothing_is_known_is_left_out(result):
    result = WorkloadResult(result.workload, result.contenders[2:3])
    header = workload_table(result, PEAKS).splitlines()[2]
    assert cells(header) == ["", "steps/s", "min", "max", "memory"]


def test_a_share_counts_the_work_of_a_call():
    row = ContenderResult("ours", "float32", Blocks(64, 2, (4.0,)), 1.0, 100_000_000_000)
    assert row.share_of(PEAKS) == pytest.approx(0.5)  # 100 GFLOP in 2 s
    assert row.share_of({}) is None


def test_bars_compare_at_one_precision(result):
    assert ratio_bars(result) == [("other", "float32", 2.0)]


def test_the_files_hold_all_of_it(result, tmp_path):
    versions = {"tensorflow": "2.21.0"}
    described = {"date": "2026-01-02T03:04:05+00:00", "processor": "A", "num_cores": 2, "memory_gigabytes": 8.0}
    described |= {"python": "3.11.7", "versions": versions, "instructions": ["avx2", "fma"]}
    report = Report(tmp_path, described)
    report.add_peaks("tensorflow", PEAKS)
    report.add_peaks("torch", {"float32": 90e9, "bfloat16": 210e9})
    report.add_workload(result)
    content = json.loads((tmp_path / "results.json").read_text())
    assert content["peaks"]["bfloat16"] == {"tensorflow": 200e9, "torch": 210e9}
    rows = content["workloads"]["toy"]["contenders"]
    assert rows[2]["blocks"] == {
        "amount": 1,
        "num_calls": 1,
        "seconds": [1.0, 2.0, 4.0],
        "rates": [1.0, 0.5, 0.25],
        "rate": 0.5,
    }
    assert rows[2]["ratios"] == {"float32": 2.0, "bfloat16": 4.0}
    assert (rows[0]["share_of_peak"], rows[3]["failure"]) == (pytest.approx(0.8), "no compiler")
    text = (tmp_path / "results.md").read_text()
    assert text.startswith("2026-01-02, 2 cores of A, 8 GB; Python 3.11.7, tensorflow 2.21.0. Vector ")
    assert "Vector instructions: avx2, fma." in text
    assert "100 GFLOP/s in float32, 210 GFLOP/s in bfloat16" in text
    assert (tmp_path / "ratios.png").read_bytes().startswith(b"\x89PNG")


def test_a_workload_of_ourselves_alone_is_not_drawn(result, tmp_path):
    growing = dataclasses.replace(result, workload=dataclasses.replace(result.workload, leader="1,000 patches"))
    plot_ratios(tmp_path / "ratios.png", [growing])
    assert not (tmp_path / "ratios.png").exists()


def test_the_studys_times_are_added_up_over_its_repeats(tmp_path):
    for number, (name, seconds) in enumerate([("split", 0.5), ("dcgan1-seed-1", 2.0), ("dcgan1-seed-2", 3.0)]):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps({"seconds": seconds}))
        os.utime(path, (number, number))
    times = read_times(tmp_path)
    assert (times.seconds, times.counts) == ({"split": 0.5, "dcgan1": 5.0}, {"split": 1, "dcgan1": 2})
    assert [cells(line) for line in times.text().splitlines()[4:]] == [
        ["split", "1", "0.5"],
        ["dcgan1", "2", "5.0"],
        ["all", "3", "5.5"],
    ]


@pytest.mark.parametrize(
    ("instructions", "precisions"),
    [
        (("avx512f",), ("float32",)),
        (("avx512f", "avx512_bf16"), ("float32", "bfloat16")),
        (None, ("float32", "bfloat16")),
    ],
)
def test_what_the_processor_emulates_is_left_out(monkeypatch, instructions, precisions):
    for module in (machine, processor):
        monkeypatch.setattr(module, "vector_instructions", lambda: instructions)
    assert machine.fast_precisions() == precisions


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("|")[1:-1]]
