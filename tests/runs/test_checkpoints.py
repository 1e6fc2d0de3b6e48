from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from histogan_tf.errors import UserError
from histogan_tf.runs.checkpoints import Checkpoints, checkpoint_folders


def state(value: float, shape: tuple[int, ...] = (3,)) -> dict[str, tf.Variable]:
    return {"weight": tf.Variable(tf.fill(shape, value))}


def names(directory: Path) -> list[str]:
    return [folder.name for folder in checkpoint_folders(directory)]


def test_what_was_saved_is_restored(tmp_path: Path):
    Checkpoints(tmp_path, state(1.5)).save(7)
    restored = state(0.0)
    checkpoints = Checkpoints(tmp_path, restored)
    assert checkpoints.restore() == checkpoints.step == 7
    np.testing.assert_array_equal(restored["weight"], [1.5, 1.5, 1.5])


def test_a_new_run_starts_at_step_0(tmp_path: Path):
    assert Checkpoints(tmp_path / "none", state(1.0)).restore() == 0


def test_only_the_newest_are_kept(tmp_path: Path):
    checkpoints = Checkpoints(tmp_path, state(1.0), max_to_keep=2)
    for step in (1, 2, 99_999_999, 100_000_000):
        checkpoints.save(step)
    assert names(tmp_path) == ["step-99999999", "step-100000000"]


@pytest.mark.parametrize("number", [1, 2, 5])
def test_as_many_are_kept_as_asked_for_from_the_first_one_on(tmp_path: Path, number):
    checkpoints = Checkpoints(tmp_path, state(1.0), max_to_keep=number)
    for step in range(1, 8):
        checkpoints.save(step)
        oldest = max(1, step - number + 1)
        assert names(tmp_path) == [f"step-{kept:08d}" for kept in range(oldest, step + 1)]


def test_the_one_just_saved_is_kept_even_if_it_is_not_the_newest(tmp_path: Path):
    checkpoints = Checkpoints(tmp_path, state(1.0))
    checkpoints.save(5)
    checkpoints.save(3)
    assert names(tmp_path) == ["step-00000003"]


def test_a_part_of_the_state_can_be_restored(tmp_path: Path):
    Checkpoints(tmp_path, state(2.0) | {"other": tf.Variable(1)}).save(3)
    part = state(0.0)
    assert Checkpoints(tmp_path, part).restore(partial=True) == 3
    np.testing.assert_array_equal(part["weight"], [2.0, 2.0, 2.0])


def damage_index(folder: Path) -> None:
    (folder / "state.index").write_bytes(b"not an index")


def damage_data(folder: Path) -> None:
    data = folder / "state.data-00000-of-00001"
    data.write_bytes(bytes(byte ^ 0xFF for byte in data.read_bytes()))


def truncate_data(folder: Path) -> None:
    (folder / "state.data-00000-of-00001").write_bytes(b"")


def remove_data(folder: Path) -> None:
    (folder / "state.data-00000-of-00001").unlink()


def remove_all(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()


@pytest.mark.parametrize("damage", [damage_index, damage_data, truncate_data, remove_data, remove_all])
def test_a_damaged_checkpoint_is_named_and_left_alone(tmp_path: Path, damage):
    checkpoints = Checkpoints(tmp_path, state(1.0), max_to_keep=2)
    checkpoints.save(1)
    checkpoints.save(2)
    damage(tmp_path / "step-00000002")
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match="step-00000002 cannot be read.*left as it is.*step-00000001"):
        Checkpoints(tmp_path, state(0.0)).restore()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files


def while_read(monkeypatch: pytest.MonkeyPatch, happens) -> None:
    """Lets something happen whenever a checkpoint was chosen and is about to be read."""
    read = tf.train.Checkpoint.read

    def late(self, prefix):
        happens(Path(prefix).parent)
        return read(self, prefix)

    monkeypatch.setattr(tf.train.Checkpoint, "read", late)


def test_a_checkpoint_that_the_training_replaces_before_it_is_read_is_not_taken_for_damaged(tmp_path, monkeypatch):
    training, restored = Checkpoints(tmp_path, state(4.0)), state(0.0)
    training.save(1)
    chosen = []

    def saves_until_step_3(folder: Path) -> None:
        chosen.append(folder.name)
        if len(chosen) < 3:
            training.save(len(chosen) + 1)

    while_read(monkeypatch, saves_until_step_3)
    assert Checkpoints(tmp_path, restored).restore() == 3
    assert chosen == ["step-00000001", "step-00000002", "step-00000003"]
    np.testing.assert_array_equal(restored["weight"], [4.0, 4.0, 4.0])


def test_reading_ends_where_every_checkpoint_is_replaced(tmp_path, monkeypatch):
    training = Checkpoints(tmp_path, state(1.0))
    training.save(1)
    while_read(monkeypatch, lambda folder: training.save(training.step + 1))
    with pytest.raises(UserError, match="cannot be read"):
        Checkpoints(tmp_path, state(0.0)).restore()
    assert training.step == 11


def test_a_kill_while_an_old_checkpoint_is_deleted_leaves_no_half_of_it(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path, state(1.0))
    checkpoints.save(1)
    monkeypatch.setattr("shutil.rmtree", lambda path: (path / "state.index").unlink())  # and then the process is killed
    checkpoints.save(2)
    monkeypatch.undo()
    assert names(tmp_path) == ["step-00000002"]
    assert len(list(tmp_path.iterdir())) == 2
    checkpoints.save(3)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000003"]


def test_a_checkpoint_of_another_network_is_told(tmp_path: Path):
    Checkpoints(tmp_path, state(1.0)).save(1)
    with pytest.raises(UserError, match="step-00000001"):
        Checkpoints(tmp_path, state(1.0, shape=(4,))).restore()
    with pytest.raises(UserError, match="step-00000001"):
        Checkpoints(tmp_path, state(1.0) | {"more": tf.Variable(1.0)}).restore()


def test_a_failed_save_leaves_the_last_one_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    checkpoints = Checkpoints(tmp_path, state(1.0))
    checkpoints.save(1)

    def full_disk(self, prefix):
        Path(f"{prefix}.data-00000-of-00001").write_bytes(b"half")
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(tf.train.Checkpoint, "write", full_disk)
    with pytest.raises(UserError, match="step-00000002 cannot be written.*No space left.*step-00000001"):
        checkpoints.save(2)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]
    assert Checkpoints(tmp_path, state(0.0)).restore() == 1


def test_what_a_killed_process_left_is_cleared_by_the_next_save(tmp_path: Path):
    leftover = tmp_path / ".writing-123-step-00000001"
    leftover.mkdir()
    (leftover / "state.index").write_bytes(b"half")
    checkpoints = Checkpoints(tmp_path, state(1.0))
    assert checkpoints.restore() == 0
    checkpoints.save(1)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]


@pytest.mark.parametrize("name", ["runs [v2]", "a\\b", "a[b", "ü\n*?"])
def test_any_name_of_a_folder_can_be_read_again(tmp_path: Path, name, monkeypatch):
    Checkpoints(tmp_path / name, state(3.0)).save(5)
    monkeypatch.chdir(tmp_path)
    for folder in (tmp_path / name, Path(name)):
        restored = state(0.0)
        assert Checkpoints(folder, restored).restore() == 5
        assert restored["weight"].numpy().tolist() == [3.0, 3.0, 3.0]
