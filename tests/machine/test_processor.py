"""What the processor can do, and what a run says where it goes on on another machine."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from histogan_tf.machine import processor
from histogan_tf.machine.processor import (
    processor_name,
    vector_instructions,
    warn_of_other_machine,
    warn_of_slow_bfloat16,
)

HERE = {"devices": [], "threads": 2, "instructions": ["avx", "avx2"]}


def test_instructions_are_read_as_linux_lists_them(tmp_path: Path):
    path = tmp_path / "cpuinfo"
    path.write_text("model name : avx512f in the name\nflags\t\t: fpu avx2 sse4_2 avx512_bf16\nflags\t\t: fpu\n")
    assert vector_instructions(path) == ("sse4_2", "avx2", "avx512_bf16")
    path.write_text("Features\t: fp asimd bf16\n")
    assert vector_instructions(path) == ("asimd", "bf16")
    assert vector_instructions(tmp_path / "none") is None


@pytest.mark.parametrize(
    ("lines", "name"),
    [
        (
            "cpu family\t: 26\nmodel\t\t: 2\nmodel name\t: AMD EPYC\n\ncpu family\t: 6\n",
            "AMD EPYC (family 26, model 2)",
        ),
        ("CPU implementer\t: 0x41\nCPU part\t: 0xd40\n", f"{platform.machine()} (implementer 0x41, part 0xd40)"),
        ("model name\t: A\n", "A"),
    ],
)
def test_a_processor_is_named_with_the_numbers_of_its_kind(tmp_path: Path, lines, name):
    (tmp_path / "cpuinfo").write_text(lines)
    assert processor_name(tmp_path / "cpuinfo") == name


@pytest.mark.parametrize(
    ("instructions", "warns"),
    [(("avx2", "avx512f"), True), (("avx512f", "avx512_bf16"), False), (("amx_bf16",), False), (None, False)],
)
def test_emulated_bfloat16_is_told_with_what_to_do(monkeypatch, caplog, instructions, warns):
    warn_of_slow_bfloat16.cache_clear()
    monkeypatch.setattr(processor, "vector_instructions", lambda: instructions)
    for _ in range(2):
        warn_of_slow_bfloat16()
    assert caplog.text.count("train with --precision=float32") == warns
    warn_of_slow_bfloat16.cache_clear()


@pytest.mark.parametrize(
    ("recorded", "words"),
    [
        (HERE, None),
        (HERE | {"threads": 4}, "run was begun with 4 threads for an operation, and goes on with 2"),
        (HERE | {"devices": ["NVIDIA H100"]}, "run was begun on NVIDIA H100, and goes on with a CPU"),
        (HERE | {"instructions": ["avx", "sve"]}, "this one has avx2 too and lacks sve"),
        ({"threads": 2, "devices": []}, "on another processor, and this one has avx avx2 too"),
    ],
)
def test_another_machine_is_told(monkeypatch, caplog, recorded, words):
    monkeypatch.setattr(processor, "machine_record", lambda: HERE)
    warn_of_other_machine(recorded, "run")
    assert caplog.text == "" if words is None else words in caplog.text


def test_the_processor_matters_little_where_a_gpu_computes(monkeypatch, caplog):
    monkeypatch.setattr(processor, "machine_record", lambda: HERE | {"devices": ["GPU"]})
    warn_of_other_machine(HERE | {"devices": ["GPU"], "threads": 64}, "run")
    assert caplog.text == ""
