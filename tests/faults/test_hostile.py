"""Rows 20 and 21: whatever clients send and whatever code returns or raises, it is refused or kept as it is; nothing breaks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from domain.events import Completed, Failed
from tests.faults.client_log import Asked
from tests.faults.fault_job_site import install_hostile_jobs
from tests.faults.hostile_bodies import HOSTILE_BODIES, HOSTILE_PAYLOADS
from tests.faults.hostile_jobs import ERRORS, RESULTS
from tests.faults.judged_service import JudgedService
from tests.until import until

_LIMIT = 16 * 1024 * 1024  # MAX_BODY_BYTES here
_LONGEST_ERROR = 4_100  # characters, with the mark that it was cut
_LIVENESS = 3  # seconds


@pytest.fixture
def service(tmp_path: Path, postgres_url: str, redis_url: str) -> Iterator[JudgedService]:
    settings = {"MAX_BODY_BYTES": _LIMIT, "MAX_ATTEMPTS": 1, "LIVENESS_SECONDS": _LIVENESS, "MAIL_PORT": 9}
    with JudgedService(tmp_path, postgres_url=postgres_url, redis_url=redis_url, **settings) as made:
        install_hostile_jobs(made.site)
        made.start("api", "dispatcher", "projector", "worker")
        yield made


def _large() -> Iterator[bytes]:
    yield b'"' + b"x" * 10_000_000 + b'"'
    yield b"{" + b",".join(b'"key %d":%d' % (number, number) for number in range(600_000)) + b"}"
    yield b"{" + b",".join(b'"same":%d' % number for number in range(1_000_000)) + b"}"
    yield b"[" + b",".join([b"[]"] * 1_000_000) + b"]"
    yield b"1" * 1_000_000


@pytest.mark.short_form
async def test_20_hostile_payloads_are_refused_or_stored_as_they_were_sent(service: JudgedService) -> None:
    accepted: dict[str, bytes] = {}
    statuses: set[int] = set()

    def send(job_type: str, payload: bytes) -> None:
        answer = service.send(job_type, payload)
        statuses.add(answer.status_code)
        assert answer.status_code in (201, 400, 413), (answer.status_code, answer.text[:500], payload[:80])
        if answer.status_code == 201:
            accepted[answer.json()["jobId"]] = payload

    for number, hostile in enumerate(HOSTILE_PAYLOADS):
        send("TALLIED", b'{"key":%d,"hostile":%b}' % (number, hostile))
        send("TALLIED", hostile)
        send("CSV_EXPORT", b'{"key":%d,"data":[{"a":%b}]}' % (number, hostile))
        send("CSV_EXPORT", b'{"key":%d,"data":%b}' % (number, hostile))
        send("EMAIL_SEND", b'{"key":%d,"to":"ann@example.com","subject":"x","body":%b}' % (number, hostile))
    assert len(accepted) > 4 * len(HOSTILE_PAYLOADS), "what JSON allows is taken"
    for hostile in _large():
        send("TALLIED", hostile)
    send("TALLIED", b'"' + b"x" * _LIMIT + b'"')
    for depth in (65, 100_000, 1_000_000):
        send("TALLIED", b"[" * depth + b"]" * depth)
    assert statuses == {201, 400, 413}

    for content_type, body in HOSTILE_BODIES:
        digest = hashlib.sha256(body).hexdigest()
        answer = service.send_body(body, Asked("", 0, "", "", digest), content_type=content_type)
        assert answer.status_code in (400, 413, 415), (answer.status_code, content_type, body[:80])
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == answer.status_code

    for job_id, payload in accepted.items():
        shown = service.http.get(f"/jobs/{job_id}", params={"include": "payload"})
        assert shown.status_code == 200
        assert shown.content.endswith(b'"payload":' + payload + b"}")
    await until(
        lambda: set(service.last_types(accepted).values()) <= {"Completed", "Failed"},
        within=60,
        saw=lambda: service.last_types(accepted),
    )
    verdict = await service.verdict()
    assert verdict.passed, verdict.text()
    assert verdict.figures.acked == len(accepted)
    _nothing_broke(service)


async def test_21_hostile_results_and_errors_close_their_attempt_with_a_text_that_is_safe(
    service: JudgedService,
) -> None:
    jobs = {
        (place, what): service.post(f"HOSTILE_{place}", {"what": what})
        for place in ("LOOP", "THREAD", "PROCESS")
        for what in [*RESULTS, *ERRORS]
    }
    await until(
        lambda: set(service.last_types(jobs.values()).values()) <= {"Completed", "Failed"},
        within=90,
        saw=lambda: [at for at, job in jobs.items() if service.last_types([job])[job] not in ("Completed", "Failed")],
    )
    kept = {"nothing": b"null", "NaN": b"null", "infinity": b"[null,null]", "bytes": b'"AP8="', "NUL": b'"a\\u0000b"'}
    kept |= {"a dataclass": b'{"x":1}', "a huge integer": b"%d" % 10**4000, "64 deep": b"[" * 64 + b"]" * 64}
    for what in RESULTS:
        found = [service.closings(jobs[place, what])[-1] for place in ("LOOP", "THREAD", "PROCESS")]
        if what in kept:
            assert [(type(one.event), one.content) for one in found] == [(Completed, kept[what])] * 3, what
        else:
            assert [type(one.event) for one in found] == [Failed] * 3, what
            for one in found:
                assert isinstance(one.event, Failed)
                assert one.event.permanent, "its effect is there, and would be again"
                assert "the job was done, but its result cannot be kept" in _text(one.content), what
    for what in ERRORS:
        found = [service.closings(jobs[place, what])[-1] for place in ("LOOP", "THREAD", "PROCESS")]
        assert [type(one.event) for one in found] == [Failed] * 3, what
        # Wherever it was raised, it says the same.
        assert len({one.content for one in found}) == 1, [one.content for one in found]
    assert _text(service.closings(jobs["LOOP", "50 MB of text"])[-1].content).endswith("x… (cut: 50000012 characters)")
    assert _text(service.closings(jobs["LOOP", "NUL in the text"])[-1].content) == "ValueError: a␀b"
    assert "str() raised ValueError" in _text(service.closings(jobs["LOOP", "no text"])[-1].content)
    # The database itself can read every text, which a NUL or half a character would prevent.
    texts = service.ask("select content #>> '{}' from events where type = 'Failed'")
    assert max(len(text) for (text,) in texts) < _LONGEST_ERROR
    for job in jobs.values():
        shown = service.http.get(f"/jobs/{job}")
        assert shown.status_code == 200
        assert service.http.get(f"/jobs/{job}/events").status_code == 200
    verdict = await service.verdict()
    assert verdict.passed, verdict.text()
    _nothing_broke(service)


def _text(content: bytes | None) -> str:
    return msgspec.json.decode(content or b"null", type=str)


def _nothing_broke(service: JudgedService) -> None:
    """Every process still runs and has nothing to be alarmed about."""
    for name, process in service.processes.items():
        assert process.is_running, name
        assert [line for line in process.lines if line["level"] in ("error", "critical")] == []
        assert process.stray == []


@pytest.mark.short_form
async def test_21_what_a_task_of_the_codes_own_raises_closes_its_attempt_and_costs_no_neighbour(
    service: JudgedService,
) -> None:
    gate = service.gate()
    neighbour = service.post("TALLIED_GATED", {"gate": str(gate)})
    await until(lambda: service.last_types([neighbour])[neighbour] == "Started")
    jobs = {what: service.post("HOSTILE_TASK", {"what": what}) for what in ERRORS}
    await until(
        lambda: set(service.last_types(jobs.values()).values()) <= {"Completed", "Failed"},
        saw=lambda: service.last_types(jobs.values()),
    )
    gate.touch()
    await until(lambda: service.last_types([neighbour])[neighbour] == "Completed")

    for what, job in jobs.items():
        assert [type(event) for event in service.events(job)][2:] == [Failed], what
        assert service.events(job)[-1].outcome == "error", what
    assert len(service.events(neighbour)) == 3
    verdict = await service.verdict()
    assert verdict.passed, verdict.text()
    _nothing_broke(service)
