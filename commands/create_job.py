"""Create a job: decide what the first event says, and append it, once for each idempotency key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import assert_never

from msgspec import Struct

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
from domain import job
from domain.errors import JobledgerError, UnknownJobType
from domain.events import Priority
from domain.job_type import JobType


class KeyReused(JobledgerError):
    """The idempotency key was used before for another request; nothing was done now."""

    code = "idempotency_key_reused"

    def __init__(self, key: str, job_id: str) -> None:
        super().__init__(f"the idempotency key {key!r} was used for another request, which created job {job_id}")
        self.key = key
        self.job_id = job_id


class CreateJob(Struct, frozen=True):
    """What a caller wants. `payload` is JSON and is kept byte for byte."""

    type: str
    priority: Priority
    payload: bytes
    actor: str
    key: IdempotencyKey | None = None


class JobCreated(Struct, frozen=True):
    """The job is in the log. `replayed`: an earlier request with the same key and body created it."""

    job_id: str
    replayed: bool = False


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

        Raises UnknownJobType, KeyReused, RejectedData (the database cannot keep the payload) and Unavailable.
        """
        max_attempts = self._max_attempts.get(command.type)
        if max_attempts is None:
            raise UnknownJobType(command.type, sorted(self._max_attempts))
        events = job.create(
            type=command.type, priority=command.priority, payload=command.payload, max_attempts=max_attempts
        )
        job_id = self._new_job_id()
        append = Append(job_id, expected=0, events=events, actor=command.actor, key=command.key)
        [answer] = await self._log.append([append])
        match answer:
            case Appended():
                return JobCreated(job_id)
            case Repeated():
                assert command.key is not None
                if answer.digest != command.key.digest:
                    raise KeyReused(command.key.key, answer.job_id)
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
