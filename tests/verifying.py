"""Runs all checks over a database, as `jobledger verify` does, and gives the report."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from datetime import timedelta

from msgspec.structs import replace

from adapters.postgres.verifying import PostgresLogAuditor
from domain.job import TRANSITIONS
from projections.verify.ports import QueueAuditor, WaitRules
from projections.verify.verification import Report, Verification, Wishes
from tests.properties.histories import LIVENESS, POLICY

WAITS = WaitRules(base=POLICY.base, cap=POLICY.cap, longest_asked=timedelta(days=30).total_seconds())
WISHES = Wishes(waits=WAITS, liveness=LIVENESS.total_seconds(), transitions=TRANSITIONS)


async def verified(
    url: str, *, wishes: Wishes = WISHES, workers: int = 2, queue: QueueAuditor | None = None, **changed: object
) -> Report:
    """The report of a run; `changed` are changes to `wishes`."""
    async with AsyncExitStack() as stack:
        auditors = [await stack.enter_async_context(PostgresLogAuditor(url)) for _ in range(workers)]
        return await Verification(
            auditors=auditors,
            queue=queue,
            wishes=replace(wishes, **changed),
            now=time.monotonic,
            progress=lambda stage: None,
        ).run()


def broken(report: Report) -> dict[str, list[str]]:
    """The checks that do not hold, with what they say."""
    return {
        name: [violation.sentence for violation in report.findings.first(name)]
        for name, count in report.findings.counts.items()
        if count
    }
