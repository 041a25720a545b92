"""`jobledger submit`: jobs from a file or the standard input, one a line, over the API of a running service."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated, BinaryIO

from cyclopts import Parameter
from cyclopts.validators import Number

from commands.submit_jobs import Submitter, Summary
from domain.errors import JobledgerError
from entrypoints.command_frame import INTERRUPTED, complain, run_command
from entrypoints.settings import Settings
from entrypoints.table_text import harmless
from entrypoints.which_key import token_of

SUBMITTED = 0  # exit codes
CANNOT_SUBMIT = 2
SOME_REFUSED = 3

EPILOGUE = (
    'A line is a job as POST /jobs takes it: `{"type": "CSV_EXPORT", "payload": {"data": []}, "tags": ["nightly"]}`. From another'
    " program: `make-jobs | jobledger submit - --run 2026-01-27`. Example: `jobledger submit jobs.ndjson`"
)

_RUN = re.compile(r"[!#-\[\]-~]{1,200}")  # visible ASCII without quotation mark and backslash
_PIECE = 256 * 1024  # bytes read at a time
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - translated, not listened on


class CannotRead(JobledgerError):
    """The jobs cannot be read, or the run's name cannot be used."""

    code = "cannot_read"


def submit(
    file: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    url: str = "",
    key_file: Path | None = None,
    run: str = "",
    batch: Annotated[int, Parameter(validator=Number(gte=1, lte=10_000))] = 1_000,
    patience: Annotated[float, Parameter(validator=Number(gte=0))] = 60.0,
) -> int:
    """Submit many jobs: a file of any size with one job a line, as POST /jobs takes it, is sent batch by batch.

    An interrupted run can be repeated without doubles: each job gets an idempotency key made of the run's name and the number
    of its line, unless the line has one of its own, and what was created before is counted as there already. (The service
    keeps keys for IDEMPOTENCY_KEY_HOURS.)

    Exit codes: 0 all jobs are in; 3 some were refused, and the first are named with the reason; 2 could not go on.

    Parameters
    ----------
    file
        The file, or `-` for the standard input.
    url
        Of the API; else that of API_HOST and API_PORT.
    key_file
        A file with the token of an API key; else it is JOBLEDGER_API_KEY. (A token in the command line could be read by all.)
    run
        The run's name. Else it is made of the file's path, size and time, so a file that has been changed is a new run;
        of the standard input it is drawn, and printed at the beginning.
    batch
        Jobs in one request.
    patience
        Seconds to go on trying while the service does not answer.
    """
    return run_command(
        lambda settings: _submit(settings, file, url=url, key_file=key_file, run=run, batch=batch, patience=patience),
        cannot=CANNOT_SUBMIT,
        interrupted="nothing was sent",
    )


def _submit(
    settings: Settings, file: str, *, url: str, key_file: Path | None, run: str, batch: int, patience: float
) -> int:
    from adapters.http.job_intake import HttpJobIntake
    from entrypoints.counted_progress import counted_progress

    if run and not _RUN.fullmatch(run):
        raise CannotRead("the run's name must be of visible ASCII characters, at most 200")
    began = time.monotonic()
    key = token_of(settings, key_file)
    with _opened(file) as opened, closing(HttpJobIntake(url or _url(settings), key=key)) as intake:
        status = os.fstat(opened.fileno())
        size = status.st_size if stat.S_ISREG(status.st_mode) else None
        name = run or (_name_of(file, status) if size is not None and file != "-" else secrets.token_hex(8))
        if not run and (size is None or file == "-"):
            sys.stderr.write(f"this is the run {name}: to repeat it, --run {name}\n")
        with counted_progress(sys.stderr, doing="submitting", total=size) as show:
            submitter = Submitter(
                intake=intake,
                run=name,
                batch=batch,
                patience=patience,
                told=lambda summary: show(summary.bytes, _counts(summary)),
            )
            try:
                submitter.submit(_pieces(opened))
            except KeyboardInterrupt:
                _tell(submitter.summary, seconds=time.monotonic() - began)
                complain(f"interrupted; to go on without doubles, repeat it with --run {name}")
                return INTERRUPTED
            except JobledgerError as exc:
                _tell(submitter.summary, seconds=time.monotonic() - began)
                raise CannotRead(f"{exc}; to go on without doubles, repeat it with --run {name}") from exc
    _tell(submitter.summary, seconds=time.monotonic() - began)
    return SOME_REFUSED if submitter.summary.refused else SUBMITTED


def _opened(file: str) -> BinaryIO:
    if file == "-":
        return os.fdopen(os.dup(sys.stdin.fileno()), "rb")
    try:
        return Path(file).open("rb")
    except OSError as exc:
        raise CannotRead(f"{file}: {exc.strerror or exc}") from exc


def _pieces(opened: BinaryIO) -> Iterator[bytes]:
    try:
        while piece := opened.read1(_PIECE):  # type: ignore[attr-defined]  # of a pipe: what is there, at once
            yield piece
    except OSError as exc:
        raise CannotRead(f"the jobs cannot be read: {exc.strerror or exc}") from exc


def _name_of(file: str, status: os.stat_result) -> str:
    known = f"{Path(file).resolve()}\0{status.st_size}\0{status.st_mtime_ns}"
    return hashlib.sha256(known.encode(errors="surrogateescape")).hexdigest()[:16]


def _url(settings: Settings) -> str:
    host = _EVERYWHERE.get(settings.api_host, settings.api_host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.api_port}"


def _counts(summary: Summary) -> str:
    there = f", {summary.replayed:,} there already" if summary.replayed else ""
    refused = f", {summary.refused:,} refused" if summary.refused else ""
    return f"{summary.created:,} created{there}{refused}"


def _tell(summary: Summary, *, seconds: float) -> None:
    for refused in summary.first:
        sys.stderr.write(f"line {refused.line}: {harmless(refused.problem)}\n")
    if summary.refused > len(summary.first):
        sys.stderr.write(f"… and {summary.refused - len(summary.first):,} more\n")
    done = summary.created + summary.replayed + summary.refused
    sys.stdout.write(f"{_counts(summary)} in {seconds:.1f} s ({done / max(seconds, 0.001):,.0f} jobs/s)\n")
