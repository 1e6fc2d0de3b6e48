"""What all tests share: a quiet, deterministic TensorFlow, and small real work to look at."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings
from PIL import Image

from histogan_tf.cli import command_line
from histogan_tf.config import Config
from histogan_tf.config.families import MODELS, family_of, flags_unused_by

# `make fuzz` sets a large number of examples, for the tests that do not set a number of their own.
settings.register_profile(
    "fuzz",
    max_examples=int(os.environ.get("HISTOGAN_FUZZ_EXAMPLES", "50")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("fuzz")

TINY = (
    "--z_dim=5",
    "--gf_dim=4",
    "--df_dim=4",
    "--gfc_dim=8",
    "--dfc_dim=8",
    "--batch_size=4",
    "--output_height=16",
    "--train_size=14",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first: the workers, which take a file each, then end at about the same time."""
    slow_files = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow_files)


@pytest.fixture(autouse=True)
def _package_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="histogan_tf")


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keeps what is measured about this processor out of the user's cache folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HISTOGAN_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        yield


def heeded(flags: Sequence[str], others: Sequence[str]) -> list[str]:
    """Leaves out the flags that have no effect on the model that other flags choose."""
    (unused, *_) = [flags_unused_by(family_of(model)) for model in MODELS if f"--model={model}" in others] or [()]
    return [flag for flag in flags if flag.removeprefix("--").partition("=")[0] not in unused]


@pytest.fixture
def tiny_config(tmp_path: Path):
    """Makes the Config of a tiny run below the test's folder: 14 phantom patches of 16x16, batches of 4."""

    def make(*flags: str) -> Config:
        return command_line.parse(["main.py", f"--checkpoint_dir={tmp_path}", *heeded(TINY, flags), *flags])

    return make


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory):
    """Makes a folder once for all of pytest's workers, which only read it: `made_once(name, make)`.

    `make` takes the empty folder and fills it. The worker that comes first does so while the others wait.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base

    def make_or_wait(name: str, make: Callable[[Path], None]) -> Path:
        folder, is_made = shared / name, shared / f"{name}.made"
        with FileLock(shared / f"{name}.lock"):
            if not is_made.exists():
                shutil.rmtree(folder, ignore_errors=True)  # what a worker that failed has left
                folder.mkdir()
                make(folder)
                is_made.touch()
        return folder

    return make_or_wait


@pytest.fixture
def write_images():
    """Writes random PNGs: `write_images(folder, num_images, height, width, channels)`."""

    def write(folder: Path, num_images: int, height: int = 20, width: int = 20, channels: int = 3, seed: int = 0):
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (num_images, height, width, channels), np.uint8)
        for number, image in enumerate(pixels):
            Image.fromarray(image[..., 0] if channels == 1 else image).save(folder / f"{number:03d}.png")
        return pixels

    return write


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory):
    """Chromium without a window, as large as a phone; its console is in `get_log("browser")`."""
    chromium, chromedriver = map(shutil.which, ("chromium", "chromedriver"))
    if not (chromium and chromedriver):
        pytest.skip("chromium or chromedriver is not installed")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in ("headless", "no-sandbox", "disable-gpu", "no-first-run", "disable-background-networking"):
        options.add_argument(f"--{flag}")
    for flag in ("disable-quic", "disable-component-update", "disable-sync"):
        options.add_argument(f"--{flag}")
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('chromium')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(chromedriver))
    driver.set_window_size(390, 800)
    yield driver
    driver.quit()
