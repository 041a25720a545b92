"""Create a job: decide what the first event says, and append it, once for each idempotency key."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import assert_never

from msgspec import Struct

from commands.ports import Answer as LogAnswer
from commands.ports import (
    Append,
    Appended,
    Conflict,
    EventLog,
    IdempotencyKey,
    Refused,
    RejectedData,
    Repeated,
    Unavailable,
)
from commands.stretches import in_stretches
from domain import job
from domain.errors import JobledgerError, UnknownJobType
from domain.events import Priority
from domain.job_type import JobType
from domain.limits import checked_max_attempts


class KeyReused(JobledgerError):
    """The idempotency key was used before for another request; nothing was done now."""

    code = "idempotency_key_reused"

    def __init__(self, key: str, job_id: str) -> None:
        super().__init__(f"the idempotency key {key!r} was used for another request, which created job {job_id}")
        self.key = key
        self.job_id = job_id


class CreateJob(Struct, frozen=True):
    """What a caller wants. `payload` is JSON and is kept byte for byte. What is None or empty is as the job type says."""

    type: str
    priority: Priority
    payload: bytes
    actor: str
    key: IdempotencyKey | None = None
    delay: float | None = None  # seconds
    run_at: datetime | None = None
    max_attempts: int | None = None
    timeout: float | None = None  # seconds
    tags: Sequence[str] = ()
    trace: str | None = None  # id of the trace that the request belongs to


class JobCreated(Struct, frozen=True):
    """The job is in the log. `replayed`: an earlier request with the same key and body created it."""

    job_id: str
    replayed: bool = False
    position: int | None = None  # of its Created, where this call appended it


class JobCreator:
    """The use case with what it needs; one for all requests of a process.

    `new_job_id` gives a fresh UUID, version 7, at each call; `max_attempts` is for types that do not say it themselves.
    """

    def __init__(
        self, *, log: EventLog, job_types: Mapping[str, JobType], new_job_id: Callable[[], str], max_attempts: int
    ) -> None:
        self._log = log
        self._max_attempts = {name: kind.max_attempts or max_attempts for name, kind in job_types.items()}
        self._new_job_id = new_job_id

    async def create(self, command: CreateJob) -> JobCreated:
        """Append Created. When it returns, the job is durable.

        Raises UnknownJobType, InvalidWait, InvalidLimit, InvalidTags, KeyReused, RejectedData (the database cannot keep the
        payload) and Unavailable.
        """
        append = self._decide(command)
        [answer] = await self._log.append([append])
        return _created(append, answer)

    async def create_all(self, commands: Sequence[CreateJob]) -> list[JobCreated | JobledgerError]:
        """The same for many, in one append: what became of each, in order, which for some may be an error of `create`.

        Raises Unavailable where nothing is known of any. Lets others have their turn while it works.
        """
        found: list[JobCreated | JobledgerError | Append] = []
        async for command in in_stretches(commands):
            try:
                found.append(self._decide(command))
            except JobledgerError as exc:
                found.append(exc)
        appends = [append for append in found if isinstance(append, Append)]
        answers = iter(await self._log.append(appends) if appends else ())
        results: list[JobCreated | JobledgerError] = []
        async for one in in_stretches(found):
            if not isinstance(one, Append):
                results.append(one)
                continue
            try:
                results.append(_created(one, next(answers)))
            except JobledgerError as exc:
                results.append(exc)
        return results

    def _decide(self, command: CreateJob) -> Append:
        max_attempts = self._max_attempts.get(command.type)
        if max_attempts is None:
            raise UnknownJobType(command.type, sorted(self._max_attempts))
        if command.max_attempts is not None:
            max_attempts = checked_max_attempts(command.max_attempts)
        events = job.create(
            type=command.type,
            priority=command.priority,
            payload=command.payload,
            max_attempts=max_attempts,
            delay=command.delay,
            run_at=command.run_at,
            timeout=command.timeout,
            tags=command.tags,
            trace=command.trace,
        )
        return Append(self._new_job_id(), expected=0, events=events, actor=command.actor, key=command.key)


def _created(append: Append, answer: LogAnswer) -> JobCreated:
    job_id = append.job_id
    match answer:
        case Appended():
            return JobCreated(job_id, position=answer.position)
        case Repeated():
            assert append.key is not None
            if answer.digest != append.key.digest:
                raise KeyReused(append.key.key, answer.job_id)
            # Our own id: the append was in doubt, was sent again, and met what it had written itself.
            return JobCreated(answer.job_id, replayed=answer.job_id != job_id)
        case RejectedData():
            raise answer
        case Conflict():
            raise Unavailable(f"the id {job_id} is taken by another job")  # the next request draws another one
        case Refused():
            raise AssertionError("only Started is refused")
        case _:
            assert_never(answer)
