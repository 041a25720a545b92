"""`jobledger verify`: whether everything holds that must hold of every log. Reads alone, and nothing for long."""

from __future__ import annotations

import sys
import time
from contextlib import AsyncExitStack
from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from entrypoints.command_frame import run_command
from entrypoints.settings import Settings
from entrypoints.which_database import database_of

HOLDS = 0  # exit codes
CANNOT_CHECK = 2
BROKEN = 3

_LONGEST_ASKED = 30 * 86_400.0  # seconds; what a job type may ask for: commands.attempt
# An event may be as much younger than the heartbeat before it, which is what the silence is counted from: commands.heartbeat.
_ONE_BEAT = 1.0

Position = Annotated[int, Parameter(validator=Number(gte=1))]
Seconds = Annotated[float, Parameter(validator=Number(gte=0))]
Workers = Annotated[int, Parameter(validator=Number(gte=1, lte=64))]

EPILOGUE = (
    "Without DATABASE_URL it checks the database of the `jobledger up` that runs on DATA_DIR. Only what came after a position:"
    " `jobledger verify --from-position 1200001`. The digest of the log as it was:"
    " `jobledger verify --to-position 1200000 --format json`. After a test, with nothing under way:"
    " `jobledger verify --drained --thorough`. Example: `DATABASE_URL=postgresql://user:secret@db/jobs_db jobledger verify`"
)


def verify(
    *,
    from_position: Position = 1,
    to_position: Position | None = None,
    format: Literal["text", "json"] = "text",
    liveness: Seconds | None = None,
    workers: Workers = 2,
    thorough: Annotated[bool, Parameter(negative="")] = False,
    drained: Annotated[bool, Parameter(negative="")] = False,
    policy_waits_only: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Check the whole log, and the table `jobs` against it. Read-only; may be run at any time, on a live system.

    Exit codes: 0 all hold; 3 some do not, each violation is printed; 2 could not check.

    Parameters
    ----------
    from_position
        Check only events from this position on, and the jobs that have any. Default: everything.
    to_position
        Up to this position. Default: the head of the log as it is at the start.
    format
        Of what is printed.
    liveness
        Seconds that a worker must have been silent before it is given up. Default: LIVENESS_SECONDS, less one heartbeat.
    workers
        How many connections ask at once.
    thorough
        Fold every history in Python, too, and compare with the fold in SQL. Default: a sample of them.
    drained
        Nothing is meant to be under way: every job is over, the queue is empty (if REDIS_URL is set), all have caught up.
    policy_waits_only
        No job type here asks for waits of its own: each wait must be RETRY_BASE_SECONDS, doubled, up to RETRY_MAX_SECONDS.
    """
    return run_command(
        lambda settings: _run(
            settings,
            from_position=from_position,
            to_position=to_position,
            format=format,
            liveness=max(0.0, settings.liveness_seconds - _ONE_BEAT) if liveness is None else liveness,
            workers=workers,
            is_thorough=thorough,
            is_drained=drained,
            policy_waits_only=policy_waits_only,
        ),
        cannot=CANNOT_CHECK,
        interrupted="nothing was changed",
    )


async def _run(
    settings: Settings,
    *,
    from_position: int,
    to_position: int | None,
    format: Literal["text", "json"],
    liveness: float,
    workers: int,
    is_thorough: bool,
    is_drained: bool,
    policy_waits_only: bool,
) -> int:
    from adapters.postgres.verifying import PostgresLogAuditor
    from adapters.redis.connecting import connect as connect_to_redis
    from adapters.redis.drained import RedisQueueAuditor
    from domain.job import TRANSITIONS
    from entrypoints.verify_report import as_json, as_text, shown_progress
    from projections.verify.ports import WaitRules
    from projections.verify.verification import Verification, Wishes

    database_url = database_of(settings)
    wishes = Wishes(
        waits=WaitRules(
            base=settings.retry_base_seconds,
            cap=settings.retry_max_seconds,
            longest_asked=_LONGEST_ASKED,
            policy_only=policy_waits_only,
        ),
        liveness=liveness,
        transitions=TRANSITIONS,
        first=from_position,
        last=to_position,
        is_thorough=is_thorough,
        is_drained=is_drained,
    )
    async with AsyncExitStack() as stack:
        auditors = [await stack.enter_async_context(PostgresLogAuditor(database_url)) for _ in range(workers)]
        queue = None
        if is_drained and settings.redis_url:
            client = connect_to_redis(settings.redis_url, name="jobledger verify")
            stack.push_async_callback(client.aclose)
            queue = RedisQueueAuditor(client)
        show = stack.enter_context(shown_progress(sys.stderr))
        verification = Verification(auditors=auditors, queue=queue, wishes=wishes, now=time.monotonic, progress=show)
        report = await verification.run()
    sys.stdout.write((as_json(report) if format == "json" else as_text(report)) + "\n")
    return HOLDS if report.findings.total == 0 else BROKEN
