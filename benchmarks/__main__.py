"""`python -m benchmarks --output=FOLDER`: measures, prints, and writes results.json, results.md and ratios.png."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.children import Child, ContenderFailed
from benchmarks.machine import describe_machine, fast_precisions, version_of
from benchmarks.measuring import Measure, child_of, measure
from benchmarks.plot import plot_ratios
from benchmarks.results import WorkloadResult
from benchmarks.start import Start, measure_start
from benchmarks.study import StudyTimes, measure_study
from benchmarks.table import machine_line, peaks_line, workload_table
from benchmarks.workloads import LONG_WORKLOADS, WORKLOADS
from histogan_tf.runs.files import write_json, write_text

_START, _STUDY = "start", "study"
_PRECISIONS = ("float32", "bfloat16")
_PEAK_SIZE, _TINY_PEAK_SIZE = 4096, 1024


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the workloads that the command line names; returns the exit code."""
    arguments = _parse(argv)
    arguments.output.mkdir(parents=True, exist_ok=True)
    report = Report(arguments.output, describe_machine())
    how = Measure(arguments.seconds, arguments.rounds, arguments.output / "log.txt", _Teller())
    how.log.write_text("")
    if emulated := [name for name in _PRECISIONS if name not in fast_precisions() and name not in arguments.precisions]:
        how.tell(f"{', '.join(emulated)}: left out, because the processor has no instructions for it (--precisions)")
    try:
        _measure_all(arguments, how, report)
    except KeyboardInterrupt:
        print(f"stopped; the results of finished workloads are in {arguments.output}", file=sys.stderr)
        return 130
    except ContenderFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"written: {arguments.output}/results.json, results.md, ratios.png")
    return 0


class Report:
    """All results so far; they are written anew after each workload, so a stopped run leaves the finished ones.

    Args:
        folder: the folder to write to.
        machine: the description that `describe_machine` returns.
    """

    def __init__(self, folder: Path, machine: dict[str, object]) -> None:
        self._folder, self._machine = folder, machine
        self._workloads: list[WorkloadResult] = []
        self._start: Start | None = None
        self._study: StudyTimes | None = None
        self._peaks: dict[str, dict[str, float]] = {}

    def add_peaks(self, library: str, peaks: dict[str, float]) -> None:
        """Adds the operations a second of a library's matrix products, by precision; the highest so far is kept."""
        for precision, peak in peaks.items():
            of_precision = self._peaks.setdefault(precision, {})
            of_precision[library] = max(peak, of_precision.get(library, 0.0))

    def add_workload(self, result: WorkloadResult) -> None:
        """Adds the result of a workload, prints it, and writes all results."""
        self._workloads.append(result)
        print(f"\n{workload_table(result, self.best_peaks)}\n", flush=True)
        self._write()

    def add_start(self, start: Start) -> None:
        """Adds the start-up times, prints them, and writes all results."""
        self._start = start
        print(f"\n{start.text()}\n", flush=True)
        self._write()

    def add_study(self, study: StudyTimes) -> None:
        """Adds the times of the study's stages, prints them, and writes all results."""
        self._study = study
        print(f"\n{study.text()}\n", flush=True)
        self._write()

    @property
    def best_peaks(self) -> dict[str, float]:
        """The operations a second of the fastest library, by precision."""
        return {precision: max(of_library.values()) for precision, of_library in self._peaks.items()}

    def _write(self) -> None:
        peaks = self.best_peaks
        content = {"machine": self._machine, "peaks": self._peaks}
        content["workloads"] = {result.workload.name: result.to_json(peaks) for result in self._workloads}
        others = {_START: self._start, _STUDY: self._study}
        content |= {name: dataclasses.asdict(times) if times else None for name, times in others.items()}
        write_json(self._folder / "results.json", content)
        tables = [workload_table(result, peaks) for result in self._workloads]
        told = [times.text() for times in others.values() if times]
        text = [machine_line(self._machine), peaks_line(peaks), *tables, *told]
        write_text(self._folder / "results.md", "\n\n".join(text) + "\n")
        plot_ratios(self._folder / "ratios.png", self._workloads)


def _measure_all(arguments: argparse.Namespace, how: Measure, report: Report) -> None:
    size = _TINY_PEAK_SIZE if arguments.tiny else _PEAK_SIZE
    with contextlib.ExitStack() as stack:
        products = {"tensorflow": "TensorFlowProducts"} | ({"torch": "TorchProducts"} if version_of("torch") else {})
        libraries = {
            library: stack.enter_context(child_of(f"benchmarks.peak:{name}", {}, how.log))
            for library, name in products.items()
        }
        _measure_peaks(libraries, arguments.precisions, size, how, report)
        for name in arguments.workloads:
            if name == _START:
                report.add_start(measure_start(arguments.rounds, arguments.tiny, how.tell))
                continue
            if name == _STUDY:
                report.add_study(measure_study(arguments.tiny, how.tell))
                continue
            result = measure(WORKLOADS[name](arguments.precisions, arguments.tiny), how)
            _measure_peaks(libraries, arguments.precisions, size, how, report)
            report.add_workload(result)


def _measure_peaks(
    libraries: dict[str, Child], precisions: Sequence[str], size: int, how: Measure, report: Report
) -> None:
    for library, child in libraries.items():
        peaks = {precision: child.ask("best", precision, size) for precision in precisions}
        report.add_peaks(library, peaks)
        words = ", ".join(f"{peak / 1e9:.0f} GFLOP/s {precision}" for precision, peak in peaks.items())
        how.tell(f"matrix products of {library}: {words}")


class _Teller:
    """Prints lines with the time since the start."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def __call__(self, line: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - self._started), 60)
        print(f"[{minutes:02d}:{seconds:02d}] {line}", flush=True)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.partition(": ")[2])
    names = (*WORKLOADS, _START, _STUDY)
    short = [name for name in names if name not in (*LONG_WORKLOADS, _STUDY)]
    parser.add_argument(
        "--output", type=Path, required=True, help="folder that results.json, results.md and ratios.png are written to"
    )
    parser.add_argument(
        "--workloads",
        type=_some_of(names),
        default=short,
        help=f"workloads to measure, of {','.join(names)} (default: all but {','.join(LONG_WORKLOADS)},{_STUDY})",
    )
    parser.add_argument(
        "--precisions",
        type=_some_of(_PRECISIONS),
        default=list(fast_precisions()),
        help="precisions to measure, of float32,bfloat16 (default: those that the processor has instructions for)",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=5.0,
        help="about how long a block lasts; it has at least two calls (default: 5)",
    )
    parser.add_argument("--rounds", type=int, default=3, help="blocks of each contender (default: 3)")
    parser.add_argument(
        "--tiny", action="store_true", help="use tiny networks, to check that all works, not to measure speed"
    )
    arguments = parser.parse_args(argv)
    if arguments.seconds <= 0 or arguments.rounds < 1:
        parser.error("--seconds must be above 0, and --rounds at least 1")
    return arguments


def _some_of(names: Sequence[str]):
    def parse(text: str) -> list[str]:
        given = text.split(",")
        unknown = [name for name in given if name not in names]
        if unknown:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r}: choose among {', '.join(names)}")
        return given

    return parse


if __name__ == "__main__":
    sys.exit(main())
