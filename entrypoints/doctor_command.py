"""`jobledger doctor`: looks at the installation from outside, and says of each thing whether it is good, and else what to do."""

from __future__ import annotations

import asyncio
import importlib.metadata
import logging
import os
import platform
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from rich.console import Console
from rich.text import Text

from commands.examination import (
    OVERDUE,
    UNCLOSED,
    Finding,
    Level,
    judge_disk,
    judge_jobs,
    judge_postgres,
    judge_redis,
    judge_rights,
    judge_standing,
    judge_workers,
)
from commands.ports import Unavailable
from domain.errors import JobledgerError
from entrypoints.reading import put, run_reading
from entrypoints.settings import Settings
from entrypoints.table_text import harmless
from entrypoints.which_database import database_of

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from adapters.postgres.examiner import PostgresExaminer

EPILOGUE = "For programs: `jobledger doctor --json`. Example: `jobledger doctor`"

SICK = 1  # exit code: something is FAIL
_BEATS_APART = 1.5  # seconds between two looks at heartbeats, of which there is one a second
_STYLES: dict[Level, str] = {"OK": "green", "WARN": "yellow", "FAIL": "red"}


class _Report(Struct, frozen=True):
    """What --json prints."""

    healthy: bool
    findings: list[Finding]


def doctor(*, json: bool = False) -> int:
    """Check the installation: servers and their settings, the schema, lag, workers, stuck jobs, disks and clocks.

    A line says OK, WARN or FAIL, and what to do about it. Read-only, and cheap enough for every hour. It asks PostgreSQL and
    Redis as the settings here say, so run it where a process runs, with the settings of that.

    Exit codes: 0 nothing is FAIL; 1 something is; 2 wrong usage.

    Parameters
    ----------
    json
        One JSON document instead of lines.
    """
    logging.disable()  # the findings say it all
    findings: list[Finding] = []
    ended = run_reading(lambda settings: _examine(settings, findings, as_json=json))
    return ended or (SICK if any(finding.level == "FAIL" for finding in findings) else 0)


async def _examine(settings: Settings, findings: list[Finding], *, as_json: bool) -> None:
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    async for finding in _all(settings):
        findings.append(finding)
        if not as_json:
            _show(console, finding)
    if as_json:
        healthy = all(finding.level != "FAIL" for finding in findings)
        put(msgspec.json.format(msgspec.json.encode(_Report(healthy, findings)), indent=2) + b"\n")


def _show(console: Console, finding: Finding) -> None:
    line = Text(f"{finding.level:<5}", style=_STYLES[finding.level])
    line.append(f"{finding.check:<20} {harmless(finding.says)}", style="default")
    console.print(line)
    if finding.remedy:
        console.print(Text(f"     {'':<20} -> {harmless(finding.remedy)}"))


async def _all(settings: Settings) -> AsyncIterator[Finding]:
    for finding in [*_this_machine(settings), *_settings(settings)]:
        yield finding
    log_id: str | None = None
    try:
        database_url = database_of(settings)
    except JobledgerError as exc:
        yield Finding("postgresql", "FAIL", str(exc), "set DATABASE_URL")
    else:
        found, log_id = await _postgres(
            replace(settings, database_url=database_url), is_of_up=not settings.database_url
        )
        for finding in found:
            yield finding
    for finding in await _redis(settings, log_id):
        yield finding


def _this_machine(settings: Settings) -> Iterator[Finding]:
    release = importlib.metadata.version("jobledger")
    yield Finding("jobledger", "OK", f"version {release}, Python {platform.python_version()}, {platform.system()}")
    seen: set[int] = set()
    for name, path in (("OUTPUT_DIR", settings.output_dir), ("DATA_DIR", settings.data_dir)):
        place = _existing(path.absolute())
        if name == "OUTPUT_DIR" and not os.access(place, os.W_OK | os.X_OK):
            yield Finding(
                name, "FAIL", f"{path} cannot be written to by this user", "give it to the user whom workers run as"
            )
        device = place.stat().st_dev
        if device not in seen:
            seen.add(device)
            usage = shutil.disk_usage(place)
            yield judge_disk(name, free=usage.free, total=usage.total)


def _existing(path: Path) -> Path:
    """The path, or the nearest directory above it that is there."""
    return next(place for place in (path, *path.parents) if place.exists())


def _settings(settings: Settings) -> Iterator[Finding]:
    from entrypoints import wiring

    try:
        types = wiring.job_types(settings)
    except JobledgerError as exc:
        yield Finding(
            "job types", "FAIL", str(exc), "mend or uninstall that package: API and workers do not start with it"
        )
    else:
        yield Finding("job types", "OK", ", ".join(sorted(types)) or "none")
    if settings.kill_at:
        yield Finding(
            "settings",
            "FAIL",
            f"KILL_AT={settings.kill_at}: a process ends itself there",
            "unset it: it is for tests alone",
        )
    elif settings.liveness_seconds < 5:
        yield Finding(
            "settings",
            "WARN",
            f"LIVENESS_SECONDS={settings.liveness_seconds:g}: a machine that stands still for a moment looks dead",
            "let it be 5 at least; the default is 15",
        )
    else:
        yield Finding("settings", "OK", "can be read")


async def _postgres(settings: Settings, *, is_of_up: bool) -> tuple[list[Finding], str | None]:
    """What there is to say of PostgreSQL and what is in it, and the log's id if it could be read. `is_of_up`: it is that of a
    `jobledger up`."""
    import psycopg

    from adapters.postgres.connecting import NoConnectionString, connect
    from adapters.postgres.examiner import PostgresExaminer

    found: list[Finding] = []
    try:
        connection = await connect(settings.database_url, application="jobledger doctor")
    except (psycopg.Error, NoConnectionString) as exc:
        text = " ".join(str(exc).split())
        return [Finding("postgresql", "FAIL", text, "see that it runs, and that DATABASE_URL names it")], None
    log_id: str | None = None
    async with connection:
        examiner = PostgresExaminer(connection)
        try:
            found += judge_postgres(await examiner.server())
            schema = await _schema(connection)
            found.append(schema)
            if schema.level != "FAIL":
                log_id = await examiner.log_id()
                excess = [] if is_of_up else await examiner.excess()  # whose processes log in as another user than this
                found += judge_rights(await examiner.missing_rights(), excess)
                found += await _service(settings, examiner)
        except Unavailable as exc:
            found.append(Finding("postgresql", "FAIL", str(exc), "see the log of PostgreSQL"))
    return found, log_id


async def _schema(connection: AsyncConnection[tuple[object, ...]]) -> Finding:
    from adapters.postgres.migrate import SchemaMismatch, known_migrations, schema_fits, schema_is_newer
    from domain.job import TRANSITIONS

    newest = known_migrations()[-1]
    try:
        if not await schema_fits(connection, TRANSITIONS):
            return Finding(
                "schema",
                "FAIL",
                f"it is older than this release's ({newest.version:04}), or not there",
                "run `jobledger migrate`",
            )
        if await schema_is_newer(connection):
            return Finding("schema", "OK", "of a newer release, which says that it serves this one")
    except SchemaMismatch as exc:
        return Finding("schema", "FAIL", str(exc), "run the release that made it, or restore the database of this one")
    return Finding("schema", "OK", f"{newest.version:04}, as this release has it")


async def _service(settings: Settings, examiner: PostgresExaminer) -> list[Finding]:
    """Who does his work, and which jobs may be stuck."""
    first = await examiner.counters()
    standing, dispatcher, redis = await examiner.standing()
    found = list(judge_standing(standing, dispatcher=dispatcher, redis=redis, blocked_by=await examiner.next_types()))
    jobs = await examiner.jobs(
        timeout=settings.job_timeout_seconds, overdue=OVERDUE, unclosed=settings.liveness_seconds + UNCLOSED
    )
    await asyncio.sleep(_BEATS_APART if first else 0)
    second = await examiner.counters()
    beats = [{name: counter for name, (counter, _) in look.items()} for look in (first, second)]
    found += judge_workers(beats, {name: claims for name, (_, claims) in second.items()})
    found += judge_jobs(jobs, timeout=settings.job_timeout_seconds)
    return found


async def _redis(settings: Settings, log_id: str | None) -> list[Finding]:
    from adapters.embedded.valkey import running_valkey_url
    from adapters.redis.connecting import connect
    from adapters.redis.examiner import RedisExaminer

    url = settings.redis_url or running_valkey_url(settings.data_dir)
    if not url:
        return [
            Finding(
                "redis",
                "WARN",
                "REDIS_URL is not set here, so nobody looked at it",
                "set it as dispatcher and workers have it",
            )
        ]
    try:
        client = connect(url, name="jobledger doctor")
    except ValueError as exc:
        return [Finding("redis", "FAIL", f"REDIS_URL cannot be read: {exc}", "write it as redis://host:6379/0")]
    try:
        return list(judge_redis(await RedisExaminer(client).server(), log_id=log_id))
    except Unavailable as exc:
        return [
            Finding(
                "redis",
                "FAIL",
                str(exc),
                "see that it runs, and that REDIS_URL names it; jobs are accepted and run meanwhile",
            )
        ]
    finally:
        await client.aclose()
