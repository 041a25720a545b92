"""Row 18: a mail server that refuses, stalls or cuts at each phase of a conversation, and workers that end while it is silent.

One mail comes of each job that is completed; where there may be more, all are equal, and the log says what may have been sent.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from adapters.postgres.event_log import PostgresEventLog
from domain.events import Attempted, Cancelled, Completed, Failed, Queued, Started
from tests.faults.cancelling import cancel
from tests.faults.judged_service import JudgedService
from tests.faults.mail_server import MailLog
from tests.scripted_smtp import PHASES, Action, ScriptedSmtp, Trouble, scripted_smtp
from tests.until import until

_CUT, _STALL = Trouble.CUT, Trouble.STALL
_USUAL: dict[str, Action] = {
    "connect": "220 scripted",
    "EHLO": "250 scripted",
    "MAIL": "250 ok",
    "RCPT": "250 ok",
    "DATA": "354 go on",
    "body": "",
    "dot": "250 2.0.0 kept",
    "QUIT": "221 bye",
}
# What befalls a connection: each phase with each trouble, and an answer to the dot that is none.
_FATES: list[tuple[str, Action]] = [
    *((phase, action) for phase in PHASES for action in ("451 later", "550 never", _CUT, _STALL)),
    ("dot", "what is this"),
]
_LIVENESS = 3  # seconds


@pytest.fixture
def service(tmp_path: Path, postgres_url: str, redis_url: str) -> Iterator[JudgedService]:
    settings = {"LIVENESS_SECONDS": _LIVENESS, "SHUTDOWN_GRACE_SECONDS": 3, "MAIL_TIMEOUT_SECONDS": 2}
    with JudgedService(tmp_path, postgres_url=postgres_url, redis_url=redis_url, **settings) as made:
        made.start("api", "dispatcher", "projector")
        yield made


async def test_18_whatever_a_mail_server_does_at_whatever_phase_one_mail_comes_or_the_log_says_that_more_may(
    service: JudgedService,
) -> None:
    fates = Random(18).sample(_FATES, len(_FATES))
    script = {
        phase: [*(action if at == phase else usual for at, action in fates), usual] for phase, usual in _USUAL.items()
    }
    async with scripted_smtp(**script) as smtp:
        jobs = [
            service.post_mail(
                ["ann@example.com", "bob@example.com"][: 1 + number % 2],
                subject=f"Mail {number} größer",
                body=f"Hello,\n.\n..\n.. this is {number} ☃.\n",
            )
            for number in range(len(fates))
        ]
        service.start("worker", MAIL_PORT=smtp.port)
        await until(
            lambda: set(service.last_types(jobs).values()) <= {"Completed", "Failed"},
            within=60,
            saw=lambda: smtp.commands,
        )
        smtp.go_on.set()

    assert smtp.connections > len(fates)
    _tell(smtp, service)
    verdict = await service.verdict()
    assert verdict.passed, verdict.text()
    doubts = {job: [error for error in _errors(service, job) if "in doubt:" in error] for job in jobs}
    unanswered = [copy for copy in smtp.mails if not copy.refused and not str(copy.answer).startswith("2")]
    assert len(unanswered) == 3  # cut, stalled, nonsense
    for copy in unanswered:
        assert doubts[_job_of(copy.content)], "what may have been sent is not marked so"
    # Nobody is alarmed without need: only where the dot may have been read.
    assert 3 <= sum(map(len, doubts.values())) <= 5
    assert verdict.figures.duplicate_effects <= sum(map(len, doubts.values()))
    ended = list(service.last_types(jobs).values())
    assert ended.count("Failed") >= 6, "a refusal for good fails the job"
    assert ended.count("Completed") >= 20


@pytest.mark.parametrize("resend", [True, pytest.param(False, marks=pytest.mark.short_form)])
async def test_18_a_worker_that_is_told_to_stop_while_the_answer_to_the_dot_is_awaited_says_that_the_mail_is_in_doubt(
    resend: bool, service: JudgedService
) -> None:
    async with scripted_smtp(dot=[_STALL, "250 kept"]) as smtp:
        service.start("worker", MAIL_PORT=smtp.port, MAIL_TIMEOUT_SECONDS=60, MAIL_RESEND_IN_DOUBT=resend)
        job = service.post_mail(["ann@example.com"], subject="Hello", body="Hello\n")
        await _until_dot(smtp)
        service["worker"].signal(signal.SIGTERM)
        await until(lambda: not service["worker"].is_running)
        assert service["worker"].ended() == 0
        service.start("worker 2", MAIL_PORT=smtp.port)
        await until(lambda: service.last_types([job])[job] in ("Completed", "Failed"))
        smtp.go_on.set()
    _tell(smtp, service)
    if resend:
        kinds = [Started, Attempted, Queued, Started, Completed]
        assert len(smtp.mails) == 2
    else:
        kinds = [Started, Failed]
        assert len(smtp.mails) == 1
    assert list(map(type, service.events(job)))[1:] == kinds
    [error] = _errors(service, job)
    assert "in doubt: " in error
    verdict = await service.verdict()
    assert verdict.passed, verdict.text()


async def test_18_a_worker_that_is_killed_while_the_answer_to_the_dot_is_awaited_leaves_a_lost_attempt_and_equal_copies(
    service: JudgedService,
) -> None:
    async with scripted_smtp(dot=[_STALL, "250 kept"]) as smtp:
        service.start("worker", MAIL_PORT=smtp.port, MAIL_TIMEOUT_SECONDS=60)
        job = service.post_mail(["ann@example.com"], subject="Hello", body="Hello\n")
        await _until_dot(smtp)
        service["worker"].kill()
        service.start("worker 2", MAIL_PORT=smtp.port)
        await until(lambda: service.last_types([job])[job] == "Completed", saw=lambda: service.events(job))
        smtp.go_on.set()
    _tell(smtp, service)
    [lost] = [event for event in service.events(job) if isinstance(event, Attempted)]
    assert lost.outcome == "lost"
    verdict = await service.verdict()
    assert verdict.passed, verdict.text()
    assert verdict.figures.duplicate_effects == 1


async def test_18_an_attempt_that_times_out_while_the_answer_to_the_dot_is_awaited_says_both(
    service: JudgedService,
) -> None:
    async with scripted_smtp(dot=[_STALL, "250 kept"]) as smtp:
        service.start("worker", MAIL_PORT=smtp.port, MAIL_TIMEOUT_SECONDS=60, JOB_TIMEOUT_SECONDS=2)
        job = service.post_mail(["ann@example.com"], subject="Hello", body="Hello\n")
        await until(lambda: service.last_types([job])[job] == "Completed", saw=lambda: service.events(job))
        smtp.go_on.set()
    _tell(smtp, service)
    [error] = _errors(service, job)
    assert re.match(r'"timed out after 2 s; .*in doubt: ', error)
    verdict = await service.verdict()
    assert verdict.passed, verdict.text()
    assert verdict.figures.duplicate_effects == 1


async def test_18_a_mail_job_that_is_cancelled_while_the_answer_to_the_dot_is_awaited_is_cancelled(
    service: JudgedService, postgres_url: str
) -> None:
    async with (
        scripted_smtp(dot=_STALL) as smtp,
        PostgresEventLog(postgres_url, application="cancel", patience=20.0) as log,
    ):
        service.start("worker", MAIL_PORT=smtp.port, MAIL_TIMEOUT_SECONDS=60)
        job = service.post_mail(["ann@example.com"], subject="Hello", body="Hello\n")
        await _until_dot(smtp)
        await cancel(service, log, job)
        await until(lambda: service.last_types([job])[job] == "Cancelled", saw=lambda: service.events(job))
        smtp.go_on.set()
    _tell(smtp, service)
    assert isinstance(service.events(job)[-1], Cancelled)
    assert service["worker"].said("mail in doubt")
    verdict = await service.verdict()
    assert verdict.passed, verdict.text()


async def _until_dot(smtp: ScriptedSmtp) -> None:
    await until(lambda: len(smtp.mails) == 1, saw=lambda: smtp.commands)


def _tell(smtp: ScriptedSmtp, service: JudgedService) -> None:
    """Write down the mails that the server took, or that nobody may say it did not take."""
    log = MailLog(service.directory.mails)
    for copy in smtp.mails:
        if not copy.refused:
            log.add(copy.recipients, copy.content)


def _errors(service: JudgedService, job: str) -> list[str]:
    return [(one.content or b"").decode() for one in service.closings(job) if not isinstance(one.event, Completed)]


def _job_of(mail: bytes) -> str:
    found = re.search(rb"Message-ID: <([0-9a-f-]{36})@", mail)
    assert found is not None
    return found[1].decode()
