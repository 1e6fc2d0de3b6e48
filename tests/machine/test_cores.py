import os

from histogan_tf.machine.cores import num_usable_cores


def test_cores_are_those_of_this_process_or_all_that_the_system_tells(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 3, 5}, raising=False)
    assert num_usable_cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    for told, expected in ((8, 8), (None, 1)):
        monkeypatch.setattr(os, "cpu_count", lambda told=told: told)
        assert num_usable_cores() == expected
