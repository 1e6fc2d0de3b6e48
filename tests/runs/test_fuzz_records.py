"""Whatever stands in a run's files, reading them gives what they hold or one line about what is wrong."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from histogan_tf.config import Config, resolve
from histogan_tf.errors import UserError
from histogan_tf.machine import workers
from histogan_tf.machine.processor import warn_of_other_machine
from histogan_tf.runs import run_directory
from histogan_tf.runs.locking import RUN, is_own
from histogan_tf.runs.own_results import is_own_or_free
from histogan_tf.serving.model_card import _earlier

RECORD: dict = {
    "settings": resolve(Config(model="dcgan1")).to_json(),
    "dataset": {
        "name": "mine",
        "image_shape": [16, 16, 3],
        "class_names": ["a", "b"],
        "domains": [{"label": 0}, {"label": 1}],
    },
    "patients": ["p1"],
    "initialized_from": None,
    "versions": {},
    "machine": {"devices": ["a GPU"], "threads": 2, "instructions": ["avx2"]},
    "continued": [{"step": 3, "at": "2026-01-01T00:00:00+00:00", "changed": {"max_steps": [3, 6]}}],
    "begun": "2026-01-01T00:00:00+00:00",
}
RECORD = json.loads(json.dumps(RECORD))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([2**70, -1, "dcgan1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def _leaves(value, path=()):
    yield path
    if isinstance(value, dict):
        for name in value:
            yield from _leaves(value[name], (*path, name))
    elif isinstance(value, list):
        for number in range(len(value)):
            yield from _leaves(value[number], (*path, number))


PLACES = list(_leaves(RECORD))
_MISSING = object()


def require_one_line(error: UserError) -> None:
    assert str(error) and "\n" not in str(error)


def _with(value, place: tuple, new):
    """The value with another one at a place, or without it if `new` is _MISSING; unchanged if the place is gone."""
    if not place:
        return new
    key, inner = place[0], place[1:]
    if isinstance(value, dict) and key in value:
        changed = {name: _with(item, inner, new) if name == key else item for name, item in value.items()}
        return {name: item for name, item in changed.items() if item is not _MISSING}
    if isinstance(value, list) and isinstance(key, int):
        changed = [_with(item, inner, new) if number == key else item for number, item in enumerate(value)]
        return [item for item in changed if item is not _MISSING]
    return value


@st.composite
def _damaged_records(draw) -> bytes:
    """A record in which some values are others or missing."""
    record = RECORD
    for place in draw(st.lists(st.sampled_from(PLACES), max_size=3)):
        record = _with(record, place, draw(VALUES | st.just(_MISSING) if place else VALUES))
    return json.dumps(record).encode()


def _run_with(folder: Path, content: bytes) -> Path:
    directory = folder / "run"
    directory.mkdir(exist_ok=True)
    (directory / "config.json").write_bytes(content)
    return directory


@pytest.mark.fuzz
@given(_damaged_records() | st.binary(max_size=40))
def test_config_json(tmp_path_factory, content: bytes):
    directory = _run_with(tmp_path_factory.getbasetemp(), content)
    config = Config(checkpoint_dir=str(directory.parent), run="run", model="dcgan1")
    assert is_own(directory, RUN) in (True, False)
    assert (run_directory.recorded_machine(config) or {"threads": 1})["threads"] >= 1
    try:
        _, found, dataset = run_directory.read_run(config)
        record = run_directory.read_record(directory)
    except UserError as error:
        require_one_line(error)
        return
    height, width, channels = dataset["image_shape"]
    assert min(height, width) >= 1 and channels in (1, 3)
    assert all(isinstance(name, str) for name in dataset["class_names"])
    assert isinstance(found.model, str) and found.batch_size >= 1
    warn_of_other_machine(record.get("machine", {}), "run")
    run_directory.warn_of_other_versions(record.get("versions", {}), "run")
    assert all(isinstance(line, str) for line in _earlier(record.get("continued", []), ["max_steps"]))
    with pytest.raises(UserError):
        run_directory._check_same(directory, config, {"name": "other"}, {"step": 1})


@pytest.mark.fuzz
@given(
    st.lists(VALUES.map(json.dumps).map(str.encode) | st.binary(max_size=20) | st.just(b'{"step": 3, "d_loss": 0.5}'))
)
def test_metrics_jsonl(tmp_path_factory, lines: list[bytes]):
    directory = _run_with(tmp_path_factory.getbasetemp(), b"{}")
    (directory / "metrics.jsonl").write_bytes(b"\n".join(lines))
    rows = run_directory.read_metrics(directory)
    assert rows.count({"step": 3, "d_loss": 0.5}) >= lines.count(b'{"step": 3, "d_loss": 0.5}')
    assert all(math.isfinite(row["step"]) for row in rows)


@pytest.mark.fuzz
@given(VALUES.map(json.dumps) | st.text())
def test_lists_of_own_files(tmp_path_factory, text: str):
    folder = tmp_path_factory.getbasetemp()
    (folder / "a.json").write_text("mine")
    (folder / ".histogan-files.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    assert not is_own_or_free(folder / "a.json")


_ADDRESSES = st.lists(st.sampled_from(["host1:2222", "host2:2222", "host1", "a:0", 3, None]), max_size=3) | VALUES


@pytest.mark.fuzz
@given(
    (
        VALUES
        | st.builds(
            lambda cluster, kind, index: {"cluster": cluster, "task": {"type": kind, "index": index}},
            st.dictionaries(st.sampled_from(["chief", "worker", "ps"]), _ADDRESSES, max_size=3) | VALUES,
            st.sampled_from(["chief", "worker"]) | VALUES,
            st.integers(-1, 3) | VALUES,
        )
    ).map(json.dumps)
    | st.text()
)
def test_tf_config(text: str):
    try:
        cluster, kind, number = workers._read_tf_config(text)
    except UserError as error:
        require_one_line(error)
        return
    worker = workers._worker_of(cluster, kind, number)
    assert 0 <= worker.index < worker.count


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ({}, None),
        ({"dataset": {}}, "its dataset has no name"),
        ({"dataset": RECORD["dataset"] | {"image_shape": [16, "16", 3]}}, "image_shape"),
        ({"dataset": {"name": "mine", "image_shape": [16, 16, 3]}}, "class_names"),
        ({"settings": RECORD["settings"] | {"gf_dim": "wide"}}, "gf_dim is 'wide'"),
        ({"settings": {}}, "its settings have no model"),
        ({"patients": "p1"}, "patients"),
        ({"machine": {"threads": 2, "devices": 3}}, "the devices of its machine are no list of names"),
        ({"continued": [{"step": 3}]}, "its continued is no list of changed settings"),
        ({"initialized_from": {}}, "initialized_from"),
    ],
)
def test_what_is_wrong_in_a_record_is_named(tmp_path: Path, damage, words):
    record = copy.deepcopy(RECORD) | damage
    directory = _run_with(tmp_path, json.dumps(record).encode())
    if words is None:
        assert run_directory.read_record(directory) == record
        return
    with pytest.raises(UserError, match=f"config.json cannot be read .*{words}.*put a good copy in its place"):
        run_directory.read_record(directory)


NO_RECORDS = [b"", b"{}", b"[]", b"null", b"3", b'{"settings": 1, "dataset": 2}', b"[" * 100_000, b"\xff"]


@pytest.mark.parametrize("content", NO_RECORDS)
def test_what_is_no_record_is_told(tmp_path: Path, content):
    with pytest.raises(UserError, match="config.json cannot be read .*put a good copy in its place"):
        run_directory.read_record(_run_with(tmp_path, content))
