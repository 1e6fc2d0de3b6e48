"""The profile of a step."""

from __future__ import annotations

import pytest

from benchmarks.operations import main, profile_step, table_of


def test_a_step_is_divided_among_its_operations(without_op_determinism):
    times = profile_step("dcgan1", "float32", num_steps=1, is_tiny=True)
    assert all(milliseconds > 0 for milliseconds in times.values())
    convolutions = {name for name in times if "Conv2D" in name}
    assert {"Conv2DBackpropInput", "Conv2DBackpropFilter"} <= {name.removesuffix("WithBias") for name in convolutions}
    assert {"MatMul", "ResourceApplyAdam"} <= times.keys()


def test_what_multiplies_is_one_row():
    table = table_of({"Conv2D": 30.0, "BatchMatMulV2": 50.0, "Transpose": 15.0, "Cast": 5.0})
    rows = [line.split(" | ") for line in table.splitlines()[2:]]
    assert [row[1:] for row in rows] == [["80.0", "80.0% |"], ["15.0", "15.0% |"], ["5.0", "5.0% |"], ["0.0", "0.0% |"]]
    assert [row[0].removeprefix("| ") for row in rows[1:3]] == ["Transpose", "Cast"]


def test_only_steps_are_profiled(capsys):
    with pytest.raises(SystemExit):
        main(["--workloads=describe"])
    assert "describe has no training step" in capsys.readouterr().err
