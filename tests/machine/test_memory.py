from __future__ import annotations

import threading

import pytest

from histogan_tf.errors import UserError
from histogan_tf.machine import memory
from histogan_tf.machine.memory import MemoryGate, TooLargeError, available_bytes


@pytest.fixture(autouse=True)
def _as_before():
    was = memory.DECODING.num_bytes
    yield
    memory.DECODING.num_bytes = was


def test_what_is_taken_at_one_time_stays_within_the_limit():
    gate, lock, taken, peaks = MemoryGate(10), threading.Lock(), [0], []

    def take(num_bytes: int) -> None:
        for _ in range(50):
            with gate.taking(num_bytes):
                with lock:
                    taken[0] += num_bytes
                    peaks.append(taken[0])
                with lock:
                    taken[0] -= num_bytes

    threads = [threading.Thread(target=take, args=(num_bytes,)) for num_bytes in (3, 5, 7, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert not any(thread.is_alive() for thread in threads)
    assert len(peaks) == 200 and max(peaks) <= 10


def test_more_than_the_limit_is_refused_at_once():
    with pytest.raises(TooLargeError, match="takes about 2.5 GB of memory, and --memory_budget_gb allows 1"):
        MemoryGate(10**9).check(2_500_000_000)


def test_what_failed_gives_its_memory_back():
    gate = MemoryGate(10)
    with pytest.raises(RuntimeError), gate.taking(10):
        raise RuntimeError
    with gate.taking(10):
        pass


@pytest.mark.parametrize(("gigabytes", "num_bytes"), [(3.0, 3 * 10**9), (0.0, 2**28), (1e-6, 2**28)])
def test_a_budget_that_keeps_a_set_on_disk_leaves_room_for_single_files(gigabytes, num_bytes):
    memory.limit_decoding(gigabytes)
    assert memory.DECODING.num_bytes == num_bytes
    memory.check_decoded_size(num_bytes, "file")
    with pytest.raises(UserError, match="file is too large: .* raise --memory_budget_gb"):
        memory.check_decoded_size(num_bytes + 1, "file")


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Puts files in the places where Linux tells of its memory: 5000 kB left in the machine, no container."""
    (tmp_path / "meminfo").write_text("MemTotal:  9000 kB\nMemAvailable:    5000 kB\n")
    monkeypatch.setattr(memory, "_MACHINE_MEMORY", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_CONTAINER", tmp_path)
    return tmp_path


def test_what_is_left_in_the_machine_and_in_a_container(machine):
    assert available_bytes() == 5000 * 1024
    (machine / "memory.max").write_text("4000000\n")
    (machine / "memory.current").write_text("3000000\n")
    (machine / "memory.stat").write_text("anon 1\ninactive_file 500000\n")
    assert available_bytes() == 1_500_000
    (machine / "memory.max").write_text("max\n")
    assert available_bytes() == 5000 * 1024
    (machine / "meminfo").unlink()
    assert available_bytes() is None
