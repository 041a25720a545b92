"""`jobledger retry`: many jobs that failed live again, as when what they needed is back."""

from __future__ import annotations

import re
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Annotated

import structlog
from cyclopts import Parameter
from msgspec.structs import replace

from domain.errors import JobledgerError
from domain.moment import InvalidMoment, parse_moment
from entrypoints.command_frame import run_command
from entrypoints.settings import Settings
from entrypoints.which_database import database_of

DONE = 0  # exit codes
CANNOT_RETRY = 2

EPILOGUE = (
    "First see how many there are: `jobledger retry --failed-since 2h --type EMAIL_SEND --error-like refused --dry-run`. Without"
    " DATABASE_URL it is the database of the `jobledger up` that runs on DATA_DIR. Example: `jobledger retry --failed-since 2h`"
)
ACTOR = "operator"

_PATIENCE = 20.0  # seconds to go on trying while PostgreSQL is away

_AGO = re.compile(r"([0-9]{1,9})(s|m|h|d)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class InvalidSince(JobledgerError):
    """What was given says no time."""

    code = "invalid_since"


def retry(
    *,
    failed_since: str,
    type: str | None = None,
    error_like: str | None = None,
    reason: str | None = None,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Let jobs that failed live again, each with as many attempts as it had at first. In batches; the service runs on.

    It may be interrupted and repeated at any time: what lives again is not found a second time.

    Exit codes: 0 done, or nothing to do; 2 could not go on.

    Parameters
    ----------
    failed_since
        Only those that failed since then: so long ago (90s, 15m, 2h, 3d), or a time with its offset (RFC 3339).
    type
        Only jobs of this type.
    error_like
        Only those whose error holds this text, in upper or lower case.
    reason
        Why; it stands in each job's history.
    dry_run
        Only say how many there are.
    """
    return run_command(
        lambda settings: _run(
            settings,
            failed_since=failed_since,
            type_=type,
            error=error_like,
            reason=reason,
            is_dry=dry_run,
        ),
        cannot=CANNOT_RETRY,
        interrupted="to go on, give the same command again",
    )


async def _run(
    settings: Settings, *, failed_since: str, type_: str | None, error: str | None, reason: str | None, is_dry: bool
) -> int:
    from adapters.postgres.failed_jobs import PostgresFailedJobs
    from adapters.postgres.replaying import PostgresReplayLog, read_only
    from commands.outages import Outages
    from commands.retry_failed import Retried, Wish, retry_failed
    from entrypoints import wiring
    from entrypoints.counted_progress import counted_progress

    url = database_of(settings)
    began = time.monotonic()
    async with read_only(url, application="retry") as database:
        horizon = await PostgresReplayLog(database).horizon()
        wish = Wish(since=since_of(failed_since, now=horizon.now), type=type_, error=error or None)
        failed = PostgresFailedJobs(database)
        counts = await failed.count(wish)
        total = sum(counts.values())
        told = ", ".join(f"{name} {count:,}" for name, count in counts.items())
        if is_dry or not total:
            would = "would be retried" if is_dry else "to retry"
            sys.stdout.write(f"{_jobs(total)} {would}{f' ({told})' if told else ''}\n")
            return DONE
        with counted_progress(sys.stderr, doing="retrying", total=total) as show:

            def say(so_far: Retried) -> None:
                show(so_far.retried + so_far.moved_on, f"{so_far.retried:,} retried")

            outages = Outages(report=structlog.get_logger(__name__))
            settings = replace(settings, database_url=url)
            async with wiring.event_log(settings, application="retry", outages=outages, patience=_PATIENCE) as log:
                done = await retry_failed(wish, failed=failed, log=log, actor=ACTOR, reason=reason, told=say)
    moved = f"; {done.moved_on:,} had moved on meanwhile" if done.moved_on else ""
    sys.stdout.write(f"{_jobs(done.retried)} retried in {time.monotonic() - began:.1f} s{moved}\n")
    return DONE


def _jobs(count: int) -> str:
    return f"{count:,} job{'' if count == 1 else 's'}"


def since_of(text: str, *, now: datetime) -> datetime:
    """The time that a text says: so long before `now`, or itself. Raises InvalidSince."""
    if found := _AGO.fullmatch(text):
        try:
            return now - timedelta(**{_UNITS[found[2]]: int(found[1])})
        except OverflowError:
            return datetime.min.replace(tzinfo=UTC)
    try:
        moment = parse_moment(text)
    except InvalidMoment:
        moment = 0
    if isinstance(moment, int):
        raise InvalidSince(
            f"{text[:64]!a} is no time: wanted is so long ago (90s, 15m, 2h, 3d), or a time such as 2026-01-27T10:30:00Z"
        )
    return moment
