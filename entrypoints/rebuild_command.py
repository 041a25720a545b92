"""`jobledger rebuild jobs|stats`: that table made anew from the log while the service runs, compared, and replaced."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from contextlib import AsyncExitStack
from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from entrypoints.command_frame import complain, run_command
from entrypoints.settings import Settings
from entrypoints.which_database import database_of_owner

DONE = 0  # exit codes
CANNOT_REBUILD = 2
DIFFERENT = 3

Workers = Annotated[int, Parameter(validator=Number(gte=1, lte=64))]
Flag = Annotated[bool, Parameter(negative="")]

EPILOGUE = (
    "Without DATABASE_URL it is the database of the `jobledger up` that runs on DATA_DIR. Only to see whether the table is"
    " what the log says: `jobledger rebuild jobs --dry-run`. After damage, once the differences have been read:"
    " `jobledger rebuild jobs --accept-differences`. Gently, beside a busy service: `jobledger rebuild jobs --workers 1`."
    " Example: `DATABASE_URL=postgresql://user:secret@db/jobs_db jobledger rebuild jobs`"
)


def rebuild(
    table: Literal["jobs", "stats"],
    /,
    *,
    workers: Workers = 2,
    dry_run: Flag = False,
    accept_differences: Flag = False,
    drop_old: Flag = False,
) -> int:
    """Make a table anew from the log, compare it with the old one, and put it in its place, while the service runs.

    Ctrl-C, or a kill at any time, leaves the service as it was, and the command can be started again. The old table `jobs` is
    kept as jobs_old; of `stats`, which holds the counts of GET /stats, nothing is kept.

    Exit codes: 0 replaced, or nothing differs (--dry-run); 3 the tables differ, nothing was replaced; 2 could not rebuild.

    Parameters
    ----------
    table
        What to rebuild: jobs or stats.
    workers
        How many connections read the log at once.
    dry_run
        Compare only: nothing is replaced.
    accept_differences
        Replace the table whatever differs. Without it, differences are printed, and nothing is replaced.
    drop_old
        Drop the old table instead of keeping it as jobs_old.
    """
    if table == "stats" and drop_old:
        complain("--drop-old is for jobs; of stats nothing is kept")
        return CANNOT_REBUILD
    run = _run if table == "jobs" else _recount
    return run_command(
        lambda settings: run(
            settings,
            workers=workers,
            is_dry=dry_run,
            accepts_differences=accept_differences,
            drops_old=drop_old,
        ),
        cannot=CANNOT_REBUILD,
        interrupted="the service is as it was",
    )


async def _run(settings: Settings, *, workers: int, is_dry: bool, accepts_differences: bool, drops_old: bool) -> int:
    from adapters.postgres.range_folder import PostgresRangeFolder
    from adapters.postgres.rebuilding import PostgresNewTable
    from entrypoints.rebuild_report import as_text, shown_progress
    from projections.rebuild.rebuilding import Rebuild, Wishes

    database_url = database_of_owner(settings)
    _end_at_sigterm()
    began = time.monotonic()
    async with AsyncExitStack() as stack:
        table = await stack.enter_async_context(PostgresNewTable(database_url))
        folders = [await stack.enter_async_context(PostgresRangeFolder(database_url)) for _ in range(workers)]
        show = stack.enter_context(shown_progress(sys.stderr))
        wishes = Wishes(compare_only=is_dry, accept_differences=accepts_differences, drop_old=drops_old)
        report = await Rebuild(table=table, folders=folders, wishes=wishes, now=time.monotonic, progress=show).run()
    sys.stdout.write(as_text(report, wishes, seconds=time.monotonic() - began) + "\n")
    return DIFFERENT if report.differences.found and not report.swapped else DONE


async def _recount(
    settings: Settings, *, workers: int, is_dry: bool, accepts_differences: bool, drops_old: bool
) -> int:
    from adapters.postgres.recounting import PostgresRecounter
    from entrypoints.rebuild_report import counts_as_text, shown_progress
    from projections.rebuild.recounting import Recount

    assert not drops_old
    database_url = database_of_owner(settings)
    _end_at_sigterm()
    began = time.monotonic()
    async with AsyncExitStack() as stack:
        counters = [await stack.enter_async_context(PostgresRecounter(database_url)) for _ in range(workers)]
        show = stack.enter_context(shown_progress(sys.stderr))
        report = await Recount(
            table=counters[0],
            counters=counters,
            progress=show,
            compare_only=is_dry,
            accept_differences=accepts_differences,
        ).run()
    sys.stdout.write(counts_as_text(report, compare_only=is_dry, seconds=time.monotonic() - began) + "\n")
    return DIFFERENT if report.found and not report.replaced else DONE


def _end_at_sigterm() -> None:
    """Cancel the running task at SIGTERM, as asyncio does at SIGINT."""
    this = asyncio.current_task()
    assert this is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
