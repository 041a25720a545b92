"""`make recovery` works: every measure once, so small that its figures say nothing."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.faults.recovery import Recovery, Taken, main

_MEASURES = ["worker", "dispatcher", "projector", "postgres", "redis", "refill"]


def test_every_recovery_is_measured_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "recovery.json"

    main(["--runs", "1", "--queued", "50", "--away", "0.5", "--liveness", "1", "--json", str(kept)])

    found = msgspec.json.decode(kept.read_bytes(), type=Recovery)
    assert [one.name for one in found.taken] == _MEASURES
    assert all(len(one.seconds) == 1 and one.seconds[0] >= 0 for one in found.taken)
    waited = {one.name: one.seconds[0] for one in found.taken}
    assert waited["worker"] > 1  # not before its liveness was over
    said = capsys.readouterr().out
    assert found.table() in said
    assert all(one.what in said for one in found.taken)


def test_one_run_that_took_too_long_is_a_target_missed() -> None:
    table = Recovery("", {}, {}, [Taken("worker", "worker killed", 20.0, [16.0, 20.5, 17.0])]).table()
    assert table.splitlines()[-1] == "| worker killed | ≤ 20 s | 17.00 s | 20.50 s | 3 | MISSED |"
