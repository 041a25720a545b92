"""Jobs from POST to their end, through the real processes: what becomes of them, in which order, at which times."""

from __future__ import annotations

import hashlib
import statistics
from datetime import timedelta
from pathlib import Path

import psutil

from adapters.mail_catcher.store import MailStore
from domain.events import Attempted, Failed, RecordedEvent, Started, type_name
from tests.conftest import free_port
from tests.system.service import Service


def test_a_job_of_either_priority_is_completed_as_seen_by_get_at_once(shared: Service) -> None:
    shared.start("worker")
    for priority in ("high", "default"):
        job_id = shared.post("NOOP", priority=priority)
        assert shared.job(job_id)["status"] in {"pending", "processing", "completed"}  # it is there at once
        shared.until_ended(job_id)
        job = shared.job(job_id)
        assert (job["status"], job["priority"], job["attempts"]) == ("completed", priority, 1)
        assert (job["result"], job["error"]) == ("done", None)
        assert shared.history(job_id) == ["Created", "Started", "Completed"]


def test_a_csv_export_lies_on_disk_as_its_result_says(shared: Service) -> None:
    shared.start("worker")
    rows = [{"id": 1, "name": "venkat"}, {"id": 2, "name": "=sai"}]
    job_id = shared.post("CSV_EXPORT", {"data": rows}, priority="high")
    shared.until_ended(job_id)
    result = shared.job(job_id)["result"]
    written = Path(result["filePath"]).read_bytes()
    assert Path(result["filePath"]).parent == shared.home / "output"
    assert written == b"id,name\r\n1,venkat\r\n2,'=sai\r\n"
    assert (result["rows"], result["bytes"]) == (2, len(written))
    assert result["sha256"] == hashlib.sha256(written).hexdigest()


def test_a_payload_that_no_attempt_can_use_fails_after_three(shared: Service) -> None:
    shared.start("worker")
    job_id = shared.post("CSV_EXPORT", {"data": "invalid"})
    shared.until_ended(job_id, status="failed")
    job = shared.job(job_id)
    assert (job["status"], job["attempts"], job["result"]) == ("failed", 3, None)
    assert "data" in job["error"]


def test_a_mail_is_sent_to_the_mail_server(shared: Service) -> None:
    port = free_port()
    shared.start("mail-catcher", "worker", MAIL_PORT=port, MAIL_UI_PORT=free_port())
    job_id = shared.post("EMAIL_SEND", {"to": "ada@example.com", "subject": "Größe", "body": "Guten Tag"})
    shared.until_ended(job_id)
    store = MailStore(shared.home / "data" / "mail")
    [mail_id] = store.ids()
    mail = store.read(mail_id)
    assert mail is not None
    assert mail.envelope.recipients == ("ada@example.com",)
    assert shared.job(job_id)["result"]["messageId"].encode() in mail.content
    shared.stop("mail-catcher")


def test_no_default_job_starts_while_one_of_high_priority_is_queued(shared: Service) -> None:
    default = shared.post_many(30, "NOOP")
    high = shared.post_many(30, "NOOP", priority="high")
    shared.until_queued(*high, *default)
    shared.start("worker", WORKER_CONCURRENCY=4)  # 30 is no multiple: some claim must take both
    shared.until_ended(*high, *default)

    starts = {one.job_id: one.position for one in shared.log(*high, *default) if isinstance(one.event, Started)}
    assert max(starts[job_id] for job_id in high) < min(starts[job_id] for job_id in default)


def test_retries_come_after_one_and_two_seconds_and_never_early(shared: Service) -> None:
    shared.start("worker")
    jobs = shared.post_many(10, "FLAKY", {"times": 2})
    shared.until(lambda: shared.job(jobs[0])["attempts"] == 1 and shared.job(jobs[0])["error"] is not None)
    shared.until_ended(*jobs)

    for wait in (timedelta(seconds=1), timedelta(seconds=2)):
        late = []
        for job_id in jobs:
            attempted, queued, started = _retry(shared.log(job_id), after=wait.total_seconds())
            assert queued.recorded_at - attempted.recorded_at >= wait
            late.append((started.recorded_at - attempted.recorded_at - wait).total_seconds())
        # The machine may be busy for a moment with something else, but hardly for most of them.
        assert statistics.median(late) < 0.25, late
    assert shared.job(jobs[0])["attempts"] == 3


def _retry(log: list[RecordedEvent], *, after: float) -> list[RecordedEvent]:
    """The Attempted that asks to wait so long, and the two events after it."""
    [start] = [n for n, one in enumerate(log) if isinstance(one.event, Attempted) and one.event.retry_after == after]
    found = log[start : start + 3]
    assert [type_name(one.event) for one in found] == ["Attempted", "Queued", "Started"]
    return found


def test_an_async_handler_is_cancelled_when_its_time_is_over(shared: Service) -> None:
    shared.start("worker")
    job_id = shared.post("GATED_BRIEFLY", {"gate": str(shared.gate())})
    shared.until_ended(job_id, status="failed")
    assert [fact["what"] for fact in shared.tally(job_id)] == ["begin", "cancelled"]
    assert _outcome(shared, job_id) == "timeout"
    assert shared.job(job_id)["error"] == "timed out after 1 s"


def test_a_thread_that_hears_no_stop_keeps_its_slot_and_its_attempt_until_it_ends(shared: Service) -> None:
    shared.start("worker", WORKER_CONCURRENCY=1)
    gate = shared.gate()
    deaf = shared.post("DEAF_THREAD", {"gate": str(gate)})
    shared.until(lambda: bool(shared.tally(deaf, "told to stop")))
    after = shared.post("NOOP")
    shared.until_queued(after)
    assert shared.history(deaf) == ["Created", "Started"]

    gate.touch()
    shared.until_ended(deaf, status="failed")
    shared.until_ended(after)
    assert _outcome(shared, deaf) == "timeout"
    [ended], [begun] = shared.tally(deaf, "end"), shared.tally(after, "begin")
    assert ended["at"] <= begun["at"]


def test_a_process_that_hears_no_stop_is_killed(shared: Service) -> None:
    shared.start("worker")
    job_id = shared.post("DEAF_PROCESS", {"gate": str(shared.gate())})
    shared.until_ended(job_id, status="failed")
    [begun] = shared.tally(job_id, "begin")
    assert begun["pid"] != shared["worker"].pid
    assert not psutil.pid_exists(begun["pid"])
    assert _outcome(shared, job_id) == "timeout"


def test_a_type_that_no_worker_knows_waits_until_one_does(shared: Service) -> None:
    shared.stop("api")
    shared.start("api", special=True)
    shared.start("worker")
    waiting = shared.post("SPECIAL", priority="high")
    shared.until(lambda: shared.redis.xlen("parked:SPECIAL") == 1)
    shared.until_ended(shared.post("NOOP"))  # it stands in nobody's way
    assert shared.history(waiting) == ["Created"]
    assert shared.job(waiting)["status"] == "pending"

    shared.start("worker 2", special=True)
    shared.until_ended(waiting)
    assert shared.job(waiting)["attempts"] == 1
    assert shared.redis.xlen("parked:SPECIAL") == 0


def _outcome(service: Service, job_id: str) -> str:
    [failed] = [one.event for one in service.log(job_id) if isinstance(one.event, Failed)]
    return failed.outcome
