"""E1: one whole file for each completed export, as its Completed records it; no other file, and no temporary one for long."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from tests.faults.client_log import Asked, FileAsked
from tests.faults.effects import Effects
from tests.faults.stories import Story
from tests.faults.verdict import Findings

_PREFIX = ".jobledger-"  # of a temporary file; then come the job's id and the attempt


class _Exported(Struct, frozen=True):
    rows: int
    bytes: int
    sha256: str


class ExportsJudge:
    """Takes each story once, then says what belongs to none."""

    def __init__(self, effects: Effects, *, findings: Findings) -> None:
        self._findings = findings
        self._files = dict(effects.files)
        self._unswept = effects.unswept
        self._temporaries: dict[str, list[str]] = {}
        for name in effects.temporaries:
            self._temporaries.setdefault(name.removeprefix(_PREFIX)[:36], []).append(name)

    def judge(self, story: Story, asked: Asked | None) -> None:
        """One job, and what was asked for, if that is known."""
        for name in self._temporaries.pop(story.job_id, ()):
            if not any(
                f"{story.job_id}-{one.number}-" in name and one.may_have_left_a_temporary_file for one in story.attempts
            ):
                self._findings.add("E1", name, "this temporary file belongs to no attempt that was cut off")
        is_there = f"{story.job_id}.csv" in self._files
        if story.type != "CSV_EXPORT":
            if is_there:
                self._find(story, "left a file, but is no export")
        elif story.is_completed:
            self._judge_completed(story, asked)
        elif is_there and not any(attempt.may_have_left_effects for attempt in story.attempts):
            self._find(story, "left a file, but no attempt of it was completed or cut off")
        elif is_there and asked is not None and asked.file is not None and not self._is_what(story, asked.file):
            self._find(story, "its file is not whole")
        self._files.pop(f"{story.job_id}.csv", None)

    def finish(self) -> None:
        """What belongs to no job."""
        for name in self._files:
            self._findings.add("E1", name, "this file belongs to no job")
        for names in self._temporaries.values():
            for name in names:
                self._findings.add("E1", name, "this temporary file belongs to no job")
        for name in self._unswept:
            self._findings.add("E1", name, "this temporary file outlived the sweep")

    def _judge_completed(self, story: Story, asked: Asked | None) -> None:
        file = self._files.get(f"{story.job_id}.csv")
        recorded = msgspec.json.decode(story.result or "null", type=_Exported | None)
        wanted = None if asked is None else asked.file
        if file is None:
            self._find(story, "is completed, but its file is missing")
        elif recorded is None or (recorded.bytes, recorded.sha256) != (file.bytes, file.sha256):
            self._find(story, f"its file has {file.bytes} bytes, and is not what its Completed records")
        elif wanted is not None and (file.sha256, recorded.rows) != (wanted.sha256, wanted.rows):
            self._find(story, "its file, or its number of rows, is not what was asked for")

    def _is_what(self, story: Story, wanted: FileAsked) -> bool:
        return self._files[f"{story.job_id}.csv"].sha256 == wanted.sha256

    def _find(self, story: Story, sentence: str) -> None:
        self._findings.add("E1", story.job_id, sentence)
