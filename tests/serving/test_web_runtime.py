"""onnxruntime-web is fetched once: what is kept, what is refused, and what npm's failures say."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from histogan_tf.errors import UserError
from histogan_tf.serving import web_runtime

CONTENTS = {"ort.wasm.min.js": b"script", "ort-wasm-simd-threaded.mjs": b"glue", "ort-wasm-simd-threaded.wasm": b"wasm"}


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """The folder of the kept copy; the pinned checksums are those of CONTENTS."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    checksums = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENTS.items()}
    monkeypatch.setattr(web_runtime, "_SHA256", checksums)
    return tmp_path / "cache" / "histogan_tf"


def npm_writes(contents: dict[str, bytes], source: Path, monkeypatch) -> None:
    """Replaces npm by a command that installs a package with these files."""
    source.mkdir(exist_ok=True)
    for name, content in contents.items():
        (source / name).write_bytes(content)
    target = "node_modules/onnxruntime-web/dist"
    monkeypatch.setattr(web_runtime, "_NPM", ("sh", "-c", f"mkdir -p {target} && cp '{source}'/* {target}"))


def npm_is(monkeypatch, *command: str) -> None:
    monkeypatch.setattr(web_runtime, "_NPM", command)


def test_what_was_fetched_once_is_kept_and_npm_is_told_of_before_it_runs(cache, tmp_path, monkeypatch, caplog):
    npm_writes(CONTENTS, tmp_path / "source", monkeypatch)
    runtime = web_runtime.fetch_runtime()
    assert (runtime.script, runtime.glue, runtime.wasm) == (b"script", b"glue", b"wasm")
    assert f"npm fetches onnxruntime-web {runtime.version} from its registry" in caplog.text
    assert sorted(path.name for path in cache.glob("*/*")) == sorted(CONTENTS)

    caplog.clear()
    npm_is(monkeypatch, "npm-that-is-not-there")
    assert web_runtime.fetch_runtime() == runtime
    assert caplog.text == ""


def test_a_damaged_copy_is_fetched_anew(cache, tmp_path, monkeypatch):
    npm_writes(CONTENTS, tmp_path / "source", monkeypatch)
    web_runtime.fetch_runtime()
    (kept,) = cache.iterdir()
    (kept / "ort-wasm-simd-threaded.wasm").write_bytes(b"was")
    assert web_runtime.fetch_runtime().wasm == b"wasm"
    assert (kept / "ort-wasm-simd-threaded.wasm").read_bytes() == b"wasm"


def test_other_files_than_those_that_were_published_are_refused_and_not_kept(cache, tmp_path, monkeypatch):
    npm_writes({**CONTENTS, "ort.wasm.min.js": b"another script"}, tmp_path / "source", monkeypatch)
    with pytest.raises(UserError, match=r"another checksum; check which registry npm uses"):
        web_runtime.fetch_runtime()
    assert not cache.exists()


def test_a_cache_that_cannot_be_written_is_told_of_and_stops_nothing(cache, tmp_path, monkeypatch, caplog):
    npm_writes(CONTENTS, tmp_path / "source", monkeypatch)
    (tmp_path / "cache").write_text("a file")
    assert web_runtime.fetch_runtime().glue == b"glue"
    assert "no copy of onnxruntime-web is kept" in caplog.text


def test_without_npm_the_remedy_is_told(cache, monkeypatch):
    npm_is(monkeypatch, "npm-that-is-not-there")
    with pytest.raises(UserError, match=r"needs npm, which comes with Node\.js"):
        web_runtime.fetch_runtime()
    npm_is(monkeypatch, "sh", "-c", "echo registry refused >&2; exit 1")
    with pytest.raises(UserError, match=r"npm cannot fetch onnxruntime-web \(registry refused\)"):
        web_runtime.fetch_runtime()


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("npm"), reason="npm is not installed")
def test_npm_fetches_the_files_whose_checksums_are_pinned(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert web_runtime.fetch_runtime().wasm.startswith(b"\0asm")
