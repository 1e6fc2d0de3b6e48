"""Runs the stages of a study: skips those whose inputs and outputs are unchanged, and redoes the others.

Each stage has a record, stages/<name>.json below the study's directory. It holds the settings that decide what the
stage makes, a digest of what it read from each earlier stage, a digest of every file that it wrote, and the seconds of
work that its outputs took. A stage that was stopped has a record without outputs. It goes on where it was stopped if it
can, and then its seconds are the sum over all stretches of work; otherwise its outputs are removed and it begins anew.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from histogan_tf.config import flag_fields
from histogan_tf.errors import UserError, doing, listing
from histogan_tf.paper.estimate import Cost
from histogan_tf.paper.stage_seconds import seconds_before, time_now
from histogan_tf.runs import files

logger = logging.getLogger(__name__)

_UNFINISHED = "was begun and not finished"
# Files of a run directory that a later command may change and that no result depends on.
_UNRECORDED = ("log.txt", ".lock", "logs")
_DEFAULTS = {field.name: json.loads(json.dumps(field.default)) for field in flag_fields()}
_DATED = "config.json"  # holds the time when the run was begun, so it differs between equal runs of a stage


@dataclasses.dataclass(frozen=True)
class Stage:
    """One step of the study.

    Attributes:
        name: name of the stage and of its record's file.
        kind: its name in --stages; the stages that do the same in several repeats share one kind.
        settings: everything that decides its outputs, beside what it reads from other stages; JSON values.
        needs: names of the stages that it reads from.
        outputs: files and folders that it writes, relative to the study's directory.
        run: does the work.
        can_resume: whether `run` goes on with outputs that were left unfinished.
        after: names of stages that must be done before it, although nothing of theirs decides its outputs but what
            `settings` and `needs` say already.
        cost: estimates the time and disk space that it takes.
    """

    name: str
    kind: str
    settings: Mapping[str, Any]
    needs: tuple[str, ...]
    outputs: tuple[str, ...]
    run: Callable[[], None]
    can_resume: bool = False
    after: tuple[str, ...] = ()
    cost: Callable[[], Cost] = Cost

    def settings_changed(self, record: Mapping[str, Any]) -> str | None:
        """Says in words which settings differ between a record and the stage; None if all are equal."""
        was, now = record["settings"], json.loads(json.dumps(self.settings))
        # A flag that a record lacks is newer than the record, whose stage did what the flag's default stands for.
        was = {**{name: _DEFAULTS[name] for name in now if name in _DEFAULTS}, **was}
        names = [name for name in {**was, **now} if was.get(name) != now.get(name)]
        return listing(f"{name} was {was.get(name)} and is now {now.get(name)}" for name in names) if names else None


class Stages:
    """The stages of one study.

    Args:
        directory: the study's directory.
        stages: all stages, each after the stages that it needs.
    """

    def __init__(self, directory: Path, stages: Sequence[Stage]) -> None:
        self._directory = directory
        self._digests: dict[tuple[str, int, int], str] = {}
        self._stages = {stage.name: stage for stage in stages}
        assert len(self._stages) == len(stages), [stage.name for stage in stages]
        for number, stage in enumerate(stages):
            assert {*stage.needs, *stage.after} <= {earlier.name for earlier in stages[:number]}, stage.name

    def plan(self) -> dict[str, str]:
        """Returns the name of each stage that must run, with the reason; so must all that follow such a stage."""
        reasons: dict[str, str] = {}
        for stage in self._stages.values():
            reason = self._reason(stage)
            changed = [need for need in stage.needs if need in reasons]
            if reason is not None:
                reasons[stage.name] = reason
            elif changed:
                reasons[stage.name] = f"follows {listing(changed, most=3)}"
        return reasons

    def tell_invalidated(self) -> None:
        """Warns of all stages that changed settings invalidate, before any of them is redone."""
        for stage in self._stages.values():
            record = self._record(stage)
            changed = record and stage.settings_changed(record)
            if changed:
                following = self._following(stage.name)
                more = f"; that invalidates {', '.join(following)} too" if following else ""
                logger.warning("settings have changed: %s (%s)%s", stage.name, changed, more)

    def _following(self, name: str) -> list[str]:
        """Returns the recorded stages that read from the named one, directly or through other stages."""
        reached = {name}
        for stage in self._stages.values():
            if reached.intersection(stage.needs):
                reached.add(stage.name)
        return [other for other in self._stages if other in reached - {name} and self._record(self._stages[other])]

    def run(self, kinds: Collection[str]) -> None:
        """Runs, in order, the stages of the given kinds that are not done.

        Raises:
            UserError: if a stage comes after another that is neither done nor of these kinds. It is raised before
                anything is run, unless a stage that is run changes what the other one reads.
        """
        for stage in self._stages.values():
            if stage.kind in kinds:
                self._require_needs(stage, but_for=kinds)
        for number, stage in enumerate(self._stages.values(), start=1):
            if stage.kind not in kinds:
                continue
            self._require_needs(stage)
            reason = self._reason(stage)
            logger.info("stage %d/%d, %s: %s", number, len(self._stages), stage.name, reason or "done before")
            if reason is not None:
                self._do(stage, may_resume=stage.can_resume and reason == _UNFINISHED)

    def _require_needs(self, stage: Stage, but_for: Collection[str] = ()) -> None:
        """Refuses to run a stage before those that it comes after, but for stages of some kinds, which are to come."""
        for need in (*stage.needs, *stage.after):
            if self._stages[need].kind in but_for:
                continue
            reason = self._reason(self._stages[need])
            if reason is not None:
                kind = self._stages[need].kind
                raise UserError(f"the stage {stage.name} needs {need} ({reason}): add {kind} to --stages")

    def _do(self, stage: Stage, *, may_resume: bool) -> None:
        before = 0.0
        if may_resume:
            before = seconds_before(self._record(stage), [self._directory / output for output in stage.outputs])
        else:
            for output in stage.outputs:
                files.remove(self._directory / output)
        path, started = self._record_path(stage), time.monotonic()
        record = {"settings": stage.settings, "inputs": self._inputs(stage), "outputs": None}
        stretch = {"seconds": round(before, 2), "begun": time_now()} if stage.can_resume else {}
        files.write_json(path, {**record, **stretch})
        try:
            with doing(f"the stage {stage.name}"):
                stage.run()
        except BaseException as error:
            if stage.can_resume:
                with contextlib.suppress(OSError):  # the first error says what is wrong
                    files.write_json(path, {**record, "seconds": round(before + time.monotonic() - started, 2)})
            if isinstance(error, UserError):
                raise UserError(f"in the stage {stage.name}: {error}") from error
            raise
        seconds = round(before + time.monotonic() - started, 2)
        outputs = {written: self._digest(written) for written in self._written(stage)}
        files.write_json(path, {**record, "outputs": outputs, "seconds": seconds})

    def _reason(self, stage: Stage) -> str | None:
        """Says why a stage must run; None if it is done and its outputs are as it wrote them."""
        record = self._record(stage)
        if record is None:
            return "not done yet"
        changed = stage.settings_changed(record)
        if changed is not None:
            return changed
        others = [need for need, digest in self._inputs(stage).items() if record["inputs"].get(need) != digest]
        if others:
            return f"the outputs of {listing(others, most=3)} have changed"
        left_out = [need for need in record["inputs"] if need not in (*stage.needs, *stage.after)]
        if left_out:
            return f"it does not read {listing(left_out, most=3)} any more"
        return _UNFINISHED if record["outputs"] is None else self._damage(stage, record["outputs"])

    def _damage(self, stage: Stage, recorded: Mapping[str, str]) -> str | None:
        found = set(self._written(stage))
        for path, digest in recorded.items():
            if path not in found:
                return f"{path} is missing: redone"
            if self._digest(path) != digest:
                return f"{path} is not as it was written: redone"
        return None

    def _inputs(self, stage: Stage) -> dict[str, str | None]:
        """Returns a digest of the outputs of each stage that this one needs; None for those without outputs."""
        return {need: self._outputs_digest(self._stages[need]) for need in stage.needs}

    def _outputs_digest(self, stage: Stage) -> str | None:
        record = self._record(stage)
        if record is None or record["outputs"] is None:
            return None
        lines = [f"{path} {digest}" for path, digest in record["outputs"].items() if Path(path).name != _DATED]
        return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()

    def _written(self, stage: Stage) -> Iterator[str]:
        """Yields the files that a stage wrote, sorted, relative to the study's directory."""
        for output in stage.outputs:
            top = self._directory / output
            found = [top] if top.is_file() else sorted(path for path in top.rglob("*") if path.is_file())
            for path in found:
                relative = path.relative_to(self._directory)
                if not set(_UNRECORDED).intersection(relative.parts):
                    yield relative.as_posix()

    def _record_path(self, stage: Stage) -> Path:
        return self._directory / "stages" / f"{stage.name}.json"

    def _record(self, stage: Stage) -> dict[str, Any] | None:
        """Returns the record of a stage; None if there is none or it is damaged."""
        path = self._record_path(stage)
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            tables = [record["settings"], record["inputs"], record["outputs"] or {}]
            return record if all(isinstance(table, dict) for table in tables) else None
        except FileNotFoundError:
            return None
        except (ValueError, LookupError, TypeError, RecursionError):
            logger.warning("%s is damaged: %s is done anew", path, stage.name)
            return None

    def _digest(self, path: str) -> str:
        """Returns the SHA-256 of a file; the file is read again only if its time or size has changed."""
        absolute = self._directory / path
        status = absolute.stat()
        key = (path, status.st_mtime_ns, status.st_size)
        if key not in self._digests:
            with absolute.open("rb") as file:
                self._digests[key] = hashlib.file_digest(file, "sha256").hexdigest()
        return self._digests[key]


def recorded_setting(directory: Path, name: str) -> str | None:
    """Returns the text of a setting in the first record of a study that has it; None if none has.

    Args:
        directory: the study's directory.
        name: the name of the setting.
    """
    for path in sorted((directory / "stages").glob("*.json")):
        try:
            found = json.loads(path.read_bytes())["settings"][name]
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            continue
        if isinstance(found, str):
            return found
    return None
