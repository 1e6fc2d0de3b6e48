"""What TF_CONFIG may say, and what a job of one worker agrees on with itself."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import tensorflow as tf

from histogan_tf.cli import command_line
from histogan_tf.errors import UserError
from histogan_tf.machine import workers
from histogan_tf.machine.workers import Worker

CLUSTER = {"worker": ["host1:2222", "host2:2222"]}


def tf_config(cluster: object, kind: object = "worker", index: object = 0) -> str:
    return json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "needs the environment variable TF_CONFIG"),
        ("", "needs the environment variable TF_CONFIG"),
        ("{", "cannot be understood"),
        ("[]", "cannot be understood"),
        ("{}", "cannot be understood"),
        (tf_config({"worker": [7, 8]}, index=1e400), "cannot be understood"),
        (tf_config(CLUSTER, kind=["worker"]), "addresses host:port"),
        (tf_config({"worker": {"host1:2222": 0}}), "addresses host:port"),
        (tf_config({"worker": [7, 8]}), "cannot be understood"),
        (tf_config({"worker": ["host1", "host2"]}), "cannot be understood"),
        (tf_config({"worker": ["host1:0", "host2:2222"]}), "addresses host:port"),
        (tf_config({**CLUSTER, "ps": ["host3:2222"]}), "addresses host:port"),
        (tf_config({**CLUSTER, "chief": ["host3:1", "host4:1"]}), "at most one chief"),
        (tf_config({"worker": ["host1:2222", "host1:2222"]}), "one address twice"),
        (tf_config(CLUSTER, index=2), "no task 'worker' number 2"),
        (tf_config(CLUSTER, index=-1), "no task 'worker' number -1"),
        (tf_config(CLUSTER, kind="chief"), "no task 'chief' number 0"),
    ],
)
def test_a_tf_config_that_describes_no_job_is_refused(monkeypatch, text, words):
    if text is None:
        monkeypatch.delenv("TF_CONFIG", raising=False)
    else:
        monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError, match=words):
        workers.start(command_line.parse(["main.py", "--distribution=multi_worker"]))


@pytest.mark.parametrize(
    ("cluster", "kind", "index", "worker"),
    [
        (CLUSTER, "worker", 0, Worker(0, 2)),
        (CLUSTER, "worker", 1, Worker(1, 2)),
        ({"chief": ["host0:2222"], **CLUSTER}, "chief", 0, Worker(0, 3)),
        ({"chief": ["host0:2222"], **CLUSTER}, "worker", 0, Worker(1, 3)),
    ],
)
def test_a_chief_comes_first_or_else_the_first_worker(cluster, kind, index, worker):
    assert workers._worker_of(*workers._read_tf_config(tf_config(cluster, kind, index))) == worker


def test_alone_one_agrees_with_oneself():
    assert workers.this_worker() == (0, 1)
    assert workers.is_chief()
    np.testing.assert_array_equal(workers.of_all_workers(np.array([3, 4])), [[3, 4]])
    np.testing.assert_array_equal(workers.of_the_chief(np.array([3, 4])), [3, 4])
    workers.check_same("anything", [1, 2])


def test_without_distribution_there_is_no_strategy_and_any_batch_goes():
    config = command_line.parse(["main.py", "--batch_size=7"])
    workers.check_batch_size(config)
    with workers.scope(config):
        assert not tf.distribute.has_strategy()


def test_errors_of_one_worker_alone_stay_what_they_are():
    with pytest.raises(tf.errors.UnavailableError), workers.workers_watched():
        raise tf.errors.UnavailableError(None, None, "the network is down")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--mode=generate", "--distribution=mirrored"], "only with --mode=train, not with --mode=generate"),
        (["--mode=paper", "--distribution=mirrored"], "only with --mode=train, not with --mode=paper, which trains"),
        (["--num_replicas=2"], "--num_replicas=2 works only with --distribution=mirrored"),
        (
            ["--distribution=multi_worker", "--num_replicas=2"],
            "--num_replicas=2 works only with --distribution=mirrored",
        ),
        (["--sync_batch_norm"], "--sync_batch_norm needs several replicas"),
        (["--model=cyclegan", "--distribution=mirrored", "--sync_batch_norm"], "is for dcgan1"),
        (["--distribution=everywhere"], "none, mirrored, multi_worker"),
    ],
)
def test_flags_that_would_do_nothing_are_refused(flags, words):
    with pytest.raises(UserError, match=words):
        command_line.parse(["main.py", *flags])


def test_the_replicas_of_one_host_need_no_tf_config(monkeypatch):
    seen = []

    class Strategy:
        num_replicas_in_sync = 2

    monkeypatch.setenv("TF_CONFIG", "{")
    monkeypatch.setattr(workers, "_mirrored", lambda count: seen.append(os.environ.get("TF_CONFIG")) or Strategy())
    workers._strategy.__wrapped__("mirrored", 2)
    assert seen == [None]
    assert os.environ["TF_CONFIG"] == "{"
