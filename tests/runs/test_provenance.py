from __future__ import annotations

from histogan_tf.runs.provenance import seen_patients, warn_of_seen_patients


def test_a_run_has_seen_its_own_patients_and_those_of_its_sources():
    assert seen_patients({"settings": {}}) is None  # a run of an earlier version
    assert seen_patients({"patients": None, "initialized_from": None}) is None
    assert seen_patients({"patients": ["b", "a"], "initialized_from": {"patients": ["c", "a"]}}) == ["a", "b", "c"]
    assert seen_patients({"patients": None, "initialized_from": {"patients": ["c"]}}) == ["c"]


def test_shared_patients_are_counted_once_and_unknown_ones_are_not_guessed(caplog):
    warn_of_seen_patients(["a", "a", "b", "d"], ["a", "b", "c"], "source")
    assert "source has seen 2 of the 3 patients" in caplog.text
    caplog.clear()
    for patients, seen in ((None, ["a"]), (["a"], None), (["a"], ["b"])):
        warn_of_seen_patients(patients, seen, "source")
    assert not caplog.records
