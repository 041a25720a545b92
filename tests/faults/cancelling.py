"""Cancelling a job as a command does: decide by what the log says, append, and decide anew where the log has moved on."""

from __future__ import annotations

import asyncio

from commands.ports import Append, Appended, EventLog
from domain import job as verbs
from domain.errors import IllegalTransition
from domain.job import fold
from tests.system.service import Service


async def cancel(service: Service, log: EventLog, job_id: str) -> bool:
    """Ask to cancel the job; whether there was still something to cancel."""
    while True:
        job = fold(await asyncio.to_thread(service.log, job_id))
        assert job is not None
        try:
            events = verbs.request_cancel(job)
        except IllegalTransition:
            return False
        [answer] = await log.append([Append(job_id, job.version, events, "operator")])
        if isinstance(answer, Appended):
            return True
