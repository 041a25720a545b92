"""`jobledger history` and `jobledger replay` as processes: what they print, how they end, and how little they need."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from adapters.embedded.postgres import PostgresServer, running_postgres_url
from adapters.postgres.replaying import read_only
from commands.ports import Unavailable
from domain.events import encode_data, type_name
from domain.job import Job, fold
from domain.moment import timestamp
from entrypoints.cli import main
from tests.forking import run_module
from tests.properties.histories import History, seeded_history
from tests.real_log import Database, connected, insert_history
from tests.until import until_now

UNKNOWN = "0190f5fe-7c00-7a00-8000-00000000ffff"
PATIENCE = 100  # seconds; a busy machine


def jobledger(url: str, *argv: str, code: int = 0, cwd: Path | None = None, **environ: str) -> bytes:
    """What a command prints: on the standard output, or on the error output if it is to end with another code than 0."""
    given = {**os.environ, "DATABASE_URL": url, **environ}
    done = run_module("jobledger", *argv, environ=given, timeout=PATIENCE, cwd=cwd)
    assert done.returncode == code, (done.returncode, done.stdout[-2_000:], done.stderr[-2_000:])
    if code == 0:
        assert done.stderr == ""
        return done.stdout.encode()
    assert done.stderr.startswith("jobledger: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr.encode()


@pytest.fixture
def history(postgres_url: str) -> History:
    made = seeded_history(31, jobs=12, commands=120)
    with connected(postgres_url) as db:
        insert_history(db, made.recorded)
    return made


def lines(output: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def shown(job: Job) -> dict[str, Any]:
    """What the commands print of a job as JSON."""
    return {
        "id": job.id,
        "version": job.version,
        "state": job.state,
        "status": job.status,
        "type": job.type,
        "priority": job.priority,
        "attempts": job.attempts,
        "used": job.used,
        "maxAttempts": job.max_attempts,
        "createdAt": timestamp(job.created_at),
        "updatedAt": timestamp(job.updated_at),
        "worker": job.worker,
        "outcome": job.outcome,
        "result": None if job.result is None else json.loads(job.result),
        "error": None if job.error is None else json.loads(job.error),
        "dueAt": None if job.due_at is None else timestamp(job.due_at),
        "queuedPosition": job.queued_position,
        "tags": list(job.tags),
    }


def test_history_shows_each_event_and_the_state_after_it(postgres_url: str, history: History) -> None:
    job_id = max(history.job_ids(), key=lambda job_id: len(history.of_job(job_id)))
    events = history.of_job(job_id)

    told = lines(jobledger(postgres_url, "history", job_id, "--format", "ndjson"))
    document = json.loads(jobledger(postgres_url, "history", job_id.upper(), "--format", "json"))
    table = jobledger(postgres_url, "history", job_id).decode().splitlines()

    assert document == {"id": job_id, "events": told}
    for number, (event, step) in enumerate(zip(events, told, strict=True), start=1):
        job = fold(events[:number])
        assert job is not None
        assert step == {
            "position": event.position,
            "version": number,
            "type": type_name(event.event),
            "data": json.loads(encode_data(event.event)),
            "content": None if event.content is None else json.loads(event.content),
            "actor": event.actor,
            "recordedAt": timestamp(event.recorded_at),
            "state": shown(job),
        }
        assert table[number].split()[:4] == [
            str(event.position),
            str(number),
            timestamp(event.recorded_at),
            type_name(event.event),
        ]
        assert f" {job.status} " in table[number]
    assert table[0].split()[:3] == ["position", "version", "recorded"]
    assert len(table) == len(events) + 1


def test_replay_shows_one_job_as_it_was(postgres_url: str, history: History) -> None:
    job_id = max(history.job_ids(), key=lambda job_id: len(history.of_job(job_id)))
    events = history.of_job(job_id)
    middle = events[len(events) // 2]
    at_position = fold(e for e in events if e.position <= middle.position)
    by_then = fold(e for e in events if e.recorded_at <= middle.recorded_at)
    assert at_position is not None
    assert by_then is not None

    at = str(middle.position)
    then = timestamp(middle.recorded_at)
    table = jobledger(postgres_url, "replay", job_id, "--at-position", at).decode()

    assert lines(jobledger(postgres_url, "replay", job_id, "--at-position", at, "--format", "ndjson")) == [
        shown(at_position)
    ]
    assert json.loads(jobledger(postgres_url, "replay", job_id, "--as-of", then, "--format", "json")) == shown(by_then)
    assert ["status", at_position.status] in [line.split() for line in table.splitlines()]


def test_replay_counts_all_jobs_as_they_were(postgres_url: str, history: History) -> None:
    position = len(history.recorded) * 2 // 3
    time_then = history.recorded[position - 1].recorded_at
    by_time = max(e.position for e in history.recorded if e.recorded_at <= time_then)
    ids = sorted(history.job_ids())
    jobs = [job for id in ids if (job := fold(e for e in history.of_job(id) if e.position <= position))]
    counted = Counter((job.status, job.type, job.priority) for job in jobs)

    document = json.loads(jobledger(postgres_url, "replay", "--at-position", str(position), "--format", "json"))
    rows = lines(jobledger(postgres_url, "replay", "--at-position", str(position), "--format", "ndjson"))
    table = jobledger(postgres_url, "replay", "--as-of", timestamp(time_then)).decode().splitlines()

    assert (document["position"], document["jobs"]) == (position, len(jobs))
    assert {(c["status"], c["type"], c["priority"]): c["jobs"] for c in document["counts"]} == counted
    assert rows == [shown(job) for job in jobs]
    assert table[0].endswith(f"after position {by_time}")
    assert table[2].split() == ["status", "type", "priority", "jobs"]


def test_replay_prints_the_events_themselves(postgres_url: str, history: History) -> None:
    told = lines(jobledger(postgres_url, "replay", "--from", "5", "--to", "40", "--format", "ndjson"))
    everything = lines(jobledger(postgres_url, "replay", "--from", "1", "--format", "ndjson"))
    table = jobledger(postgres_url, "replay", "--to", "7").decode().splitlines()

    assert told == [
        {
            "position": e.position,
            "jobId": e.job_id,
            "version": e.version,
            "type": type_name(e.event),
            "data": json.loads(encode_data(e.event)),
            "content": None if e.content is None else json.loads(e.content),
            "actor": e.actor,
            "recordedAt": timestamp(e.recorded_at),
        }
        for e in history.recorded[4:40]
    ]
    assert [e["position"] for e in everything] == [e.position for e in history.recorded]
    assert [line.split()[0] for line in table] == ["position", *(str(n) for n in range(1, 8))]


def test_replay_prints_the_events_of_a_period(postgres_url: str, history: History) -> None:
    times = sorted({e.recorded_at for e in history.recorded})
    begin, end = times[len(times) // 3], times[len(times) * 2 // 3]
    within = [e.position for e in history.recorded if begin <= e.recorded_at <= end]

    def positions(*argv: str) -> list[int]:
        return [e["position"] for e in lines(jobledger(postgres_url, "replay", *argv, "--format", "ndjson"))]

    assert positions("--from", timestamp(begin), "--to", timestamp(end)) == within
    assert positions("--from", timestamp(begin), "--to", str(within[0])) == within[:1]
    assert positions("--to", "2000-01-01T00:00:00Z") == []
    assert positions("--from", timestamp(times[-1]))[-1] == len(history.recorded)


def test_what_cannot_be_shown_is_one_sentence_and_a_code(
    postgres_url: str,
    history: History,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DATABASE_URL", postgres_url)

    def ended(argv: Sequence[str], *, code: int) -> str:
        with pytest.raises(SystemExit) as exit:
            main(list(argv))
        said = capsys.readouterr()
        assert (exit.value.code, said.out, said.err.count("\n")) == (code, "", 1), argv
        return said.err

    later = history.job_ids()[-1]
    for argv, said in {
        ("history", UNKNOWN): f"there is no job {UNKNOWN}",
        ("replay", UNKNOWN, "--at-position", "1"): f"there is no job {UNKNOWN}",
        ("replay", later, "--at-position", "1"): "was not there yet at position 1",
        ("replay", "--at-position", "1000000"): f"it ends at position {len(history.recorded)}",
        ("replay", "--as-of", "9999-01-01T00:00:00Z"): "its clock says",
        ("replay", "--from", "1000000"): f"it ends at position {len(history.recorded)}",
        ("replay", "--from", "9999-01-01T00:00:00Z"): "its clock says",
        ("replay", "--from", "1", "--to", "1000000"): f"it ends at position {len(history.recorded)}",
    }.items():
        assert said in ended(argv, code=1), argv
    for argv, said in {
        ("history",): "JOB",
        ("history", "x"): "'x' is not a job id",
        ("history", later, "--format", "xml"): "xml",
        ("replay",): "--as-of",
        ("replay", later): "--as-of",
        ("replay", "--as-of", "2026-01-27"): "RFC 3339",
        ("replay", "--as-of", "1", "--at-position", "1"): "one of them",
        ("replay", "--as-of", "1", "--from", "1"): "either",
        ("replay", "--at-position", "-1"): "-1",
        ("replay", "--from", "0"): "--from",
        ("replay", "--from", "2", "--to", "1"): "after",
        ("replay", "--from", "yesterday"): "RFC 3339",
        ("replay", "--from", "2026-01-28T00:00:00Z", "--to", "2026-01-27T00:00:00Z"): "lies after",
        ("replay", "--from", "1", "--format", "json"): "ndjson",
        ("replay", later, "--from", "1"): f"jobledger history {later}",
    }.items():
        assert said in ended(argv, code=2), argv
    nowhere = jobledger("", "history", later, code=1, cwd=tmp_path, DATA_DIR=str(tmp_path / "none")).decode()
    assert "DATABASE_URL is not set" in nowhere
    assert "postgres" not in jobledger("://", "history", later, code=1).decode()
    assert "look back" in jobledger("postgresql://nobody@127.0.0.1:1/none", "history", later, code=1).decode()


def test_a_database_that_is_not_ours_is_one_sentence(empty_postgres_url: str) -> None:
    assert "schema" in jobledger(empty_postgres_url, "replay", "--from", "1", code=1).decode()


@pytest.mark.parametrize("command", ["history", "replay"])
def test_the_help_has_examples(command: str) -> None:
    help = " ".join(jobledger("", command, "--help").decode().split())
    assert f"jobledger {command} " in help
    assert "Example: " in help
    assert "Exit codes: 0" in help


def test_the_database_of_the_service_that_runs_here_is_found(
    postgres_server: PostgresServer, server_home: Path, tmp_path: Path
) -> None:
    assert running_postgres_url(server_home) == postgres_server.url
    assert running_postgres_url(tmp_path) is None
    # Found: it is another database of that server that holds nothing of ours.
    assert "schema" in jobledger("", "replay", "--from", "1", code=1, DATA_DIR=str(server_home)).decode()


def test_hostile_texts_cannot_write_into_the_terminal(postgres_url: str) -> None:
    with connected(postgres_url) as db:
        db.execute(
            "insert into events values (1, %s, 1, 'Created', %s, %s, %s, now())",
            [
                UNKNOWN,
                '{"type":"A\u009b31m","priority":"high","attempt":1,"used":0,"maxAttempts":3}',
                '"\u202e\u009b2J [red]\n"'.replace("\n", "") + "\n",
                "key \x1b[2J\n[bold]",
            ],
        )
    for argv in (["history", UNKNOWN], ["replay", "--from", "1"], ["replay", UNKNOWN, "--at-position", "1"]):
        text = jobledger(postgres_url, *argv).decode()
        assert all(c.isprintable() or c == "\n" for c in text), text
        ascii_only = jobledger(postgres_url, *argv, PYTHONIOENCODING="ascii")
        assert ascii_only.isascii()
    [line] = jobledger(postgres_url, "replay", "--from", "1", "--format", "ndjson").splitlines()
    assert json.loads(line)["content"] == "\u202e\u009b2J [red]"


def test_an_event_of_a_newer_release_is_printed_but_not_folded(postgres_url: str) -> None:
    with connected(postgres_url) as db:
        insert_history(db, seeded_history(32, jobs=1, commands=1).recorded)
        [[job_id]] = db.execute("select job_id::text from events where position = 1").fetchall()
        db.execute("insert into events values (2, %s, 2, 'Paused', '{}', null, 'a', now())", [job_id])

    assert lines(jobledger(postgres_url, "replay", "--from", "2", "--format", "ndjson"))[0]["type"] == "Paused"
    for argv in (["history", job_id], ["replay", "--at-position", "2"], ["replay", job_id, "--at-position", "2"]):
        assert "Paused" in jobledger(postgres_url, *argv, code=1).decode()
    assert lines(jobledger(postgres_url, "replay", "--at-position", "1", "--format", "ndjson"))[0]["id"] == job_id


def test_a_gap_stops_the_events_with_a_clear_error(postgres_url: str, history: History) -> None:
    with connected(postgres_url) as db:
        db.execute("alter table events disable trigger immutable_rows")
        db.execute("delete from events where position = 60")
    assert "no event at position 60" in jobledger(postgres_url, "replay", "--from", "1", code=1).decode()


def fill(db: Database, *, jobs: int, large: int = 0) -> None:
    """So many jobs of two events each; the contents of the last `large` of them have a megabyte each."""
    db.execute("alter table events disable trigger immutable_rows")
    db.execute(
        "insert into events"
        " select 2 * (j - 1) + v, (lpad(to_hex(j), 8, '0') || '00007000800000000000' || '0000')::uuid, v,"
        " case v when 1 then 'Created' else 'Started' end,"
        """ case v when 1 then '{"type":"T","priority":"high","attempt":1,"used":0,"maxAttempts":3}'"""
        """ else '{"attempt":1,"worker":"w"}' end::json,"""
        " case when v = 1 then to_json(repeat('x', case when j > %(jobs)s - %(large)s then 1000000 else 20 end)) end,"
        " 'a', '2026-01-01T00:00:00Z'::timestamptz + j * interval '1 millisecond'"
        " from generate_series(1, %(jobs)s) j, generate_series(1, 2) v",
        {"jobs": jobs, "large": large},
    )
    db.execute("alter table events enable always trigger immutable_rows")
    db.execute("vacuum analyze events")


_MEASURED = (
    "import sys\nfrom entrypoints.cli import main\n"
    "try: main(sys.argv[1:])\n"
    "finally: print(next(l.split()[1] for l in open('/proc/self/status') if l.startswith('VmHWM')), file=sys.stderr)"
)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from /proc")
def test_80_000_events_and_large_contents_need_little_memory(postgres_url: str) -> None:
    with connected(postgres_url) as db:
        fill(db, jobs=40_000, large=120)
    for argv, wanted in {
        ("--from", "1", "--format", "ndjson"): 80_000,
        ("--from", "70000"): 10_002,
        ("--at-position", "80000", "--format", "ndjson"): 40_000,
        ("--at-position", "80000"): 4,
    }.items():
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", _MEASURED, "replay", *argv],
            env={**os.environ, "DATABASE_URL": postgres_url},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        with process, process.stdout as output:
            counted = sum(1 for _ in output)
            kilobytes = int(process.stderr.read().split()[-1])
        assert (process.returncode, counted) == (0, wanted)
        assert kilobytes < 95_000, argv  # the contents alone have 120 megabytes; Python and its packages have 48


def test_a_reader_that_has_seen_enough_ends_it_quietly(postgres_url: str) -> None:
    with connected(postgres_url) as db:
        fill(db, jobs=10_000)
    for argv in (
        ["--from", "1"],
        ["--from", "1", "--format", "ndjson"],
        ["--at-position", "20000", "--format", "ndjson"],
    ):
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "jobledger", "replay", *argv],
            env={**os.environ, "DATABASE_URL": postgres_url},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        with process:
            assert process.stdout.readline()
            process.stdout.close()
            assert process.stderr.read() == b""
        assert process.returncode == 0


def test_ctrl_c_ends_it_with_130_and_leaves_nothing(postgres_url: str) -> None:
    with connected(postgres_url) as db, connected(postgres_url) as watching:
        fill(db, jobs=5_000)

        def asking() -> int:
            [[number]] = watching.execute(
                "select count(*) from pg_stat_activity where application_name = 'jobledger replay' and state = 'active'"
            ).fetchall()
            return int(number)

        with db.transaction():
            db.execute("lock table events in access exclusive mode")  # so that it cannot be done before
            with subprocess.Popen(
                [sys.executable, "-P", "-m", "jobledger", "replay", "--at-position", "10000"],
                env={**os.environ, "DATABASE_URL": postgres_url},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            ) as process:
                until_now(lambda: asking() == 1, within=PATIENCE)
                process.send_signal(signal.SIGINT)
                _, said = process.communicate(timeout=PATIENCE)
            assert (process.returncode, said) == (130, b"")
            until_now(lambda: asking() == 0, within=PATIENCE)


def test_a_running_replay_holds_no_snapshot_while_its_reader_waits(postgres_url: str) -> None:
    with connected(postgres_url) as db:
        fill(db, jobs=20_000)
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "jobledger", "replay", "--from", "1"],
            env={**os.environ, "DATABASE_URL": postgres_url},
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        question = (
            "select state, backend_xmin is null from pg_stat_activity where application_name = 'jobledger replay'"
        )
        with process:
            process.stdout.readline()  # then nobody reads on: the pipe is full, and the next page has been fetched
            until_now(lambda: db.execute(question).fetchall() == [("idle", True)], within=PATIENCE)
            process.stdout.close()


async def test_its_connections_cannot_write(postgres_url: str) -> None:
    async with read_only(postgres_url, application="test") as database:
        with pytest.raises(Unavailable, match="read-only"):
            await database.rows("sweep_idempotency_keys", seconds=0, limit=1, hours=1, max_age=1)
