"""Fetches onnxruntime-web, which runs networks in the browser, once by npm, and keeps a copy for later exports."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from histogan_tf.errors import UserError
from histogan_tf.runs.files import remove, written_aside

logger = logging.getLogger(__name__)

_PAGE = Path(__file__).parent / "page"
_NPM_FILES = ("package.json", "package-lock.json")
_NPM = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error")

# The files that a page needs and their SHA-256, of the version that package.json pins.
_SHA256 = {
    "ort.wasm.min.js": "faece07e84faa9001f5104bbe4e5c70861d06cb2376a0dea1fa0ad33a67adc81",
    "ort-wasm-simd-threaded.mjs": "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}


@dataclasses.dataclass(frozen=True)
class WebRuntime:
    """The files of onnxruntime-web that a page needs.

    Attributes:
        version: the version, such as "1.30.0".
        script: the library, a classic script that defines `ort`.
        glue: the module that the script imports to start the WebAssembly.
        wasm: the WebAssembly.
    """

    version: str
    script: bytes
    glue: bytes
    wasm: bytes


def fetch_runtime() -> WebRuntime:
    """Returns onnxruntime-web: the copy that an earlier export kept, or else what npm fetches from its registry.

    The copy is in histogan_tf/ below the user's cache folder, $XDG_CACHE_HOME or ~/.cache. Each file must have the
    checksum that belongs to the version.

    Raises:
        UserError: if there is no such copy, and npm is missing, cannot fetch the package, or fetches other files.
    """
    version = json.loads((_PAGE / "package.json").read_text(encoding="utf-8"))["dependencies"]["onnxruntime-web"]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "histogan_tf"
    kept = cache / f"onnxruntime-web-{version}"
    contents = _read(kept)
    if contents is None:
        logger.info(
            "npm fetches onnxruntime-web %s from its registry; a copy for later exports without a network goes to %s",
            version,
            kept,
        )
        contents = _fetched_by_npm(version)
        _keep(kept, contents)
    return WebRuntime(version, *contents.values())


def _read(folder: Path) -> dict[str, bytes] | None:
    """Returns the files of a folder by name; None if one is missing or has another checksum."""
    try:
        contents = {name: (folder / name).read_bytes() for name in _SHA256}
    except OSError:
        return None
    return contents if all(hashlib.sha256(contents[name]).hexdigest() == _SHA256[name] for name in _SHA256) else None


def _fetched_by_npm(version: str) -> dict[str, bytes]:
    """Returns the files by name as npm fetches them."""
    with tempfile.TemporaryDirectory() as folder:
        for name in _NPM_FILES:
            shutil.copyfile(_PAGE / name, Path(folder) / name)
        try:
            subprocess.run(_NPM, cwd=folder, check=True, capture_output=True, text=True)
        except FileNotFoundError as error:
            raise UserError(
                "--format=web needs npm, which comes with Node.js, to fetch onnxruntime-web: install Node.js 18 or "
                "newer; later exports use the copy that the first one keeps"
            ) from error
        except subprocess.CalledProcessError as error:
            reason = (error.stderr.strip() or error.stdout.strip() or "no reason given")[:300]
            raise UserError(
                f"npm cannot fetch onnxruntime-web ({reason}): check npm's access to its registry (npm ping)"
            ) from error
        contents = _read(Path(folder) / "node_modules" / "onnxruntime-web" / "dist")
    if contents is None:
        raise UserError(
            f"npm fetched another onnxruntime-web than version {version} as it was published: some of its files have "
            f"another checksum; check which registry npm uses (npm config get registry)"
        )
    return contents


def _keep(folder: Path, contents: dict[str, bytes]) -> None:
    """Writes the files to a folder, whole or not at all; a warning says so if that cannot be done."""
    try:
        remove(folder)  # a copy that is damaged
        with written_aside(folder) as aside:
            aside.mkdir()
            for name, content in contents.items():
                (aside / name).write_bytes(content)
    except OSError as error:
        logger.warning("no copy of onnxruntime-web is kept, so the next export fetches it again: %s", error)
