"""Submit jobs from a text of any size, one a line, batch by batch; an interrupted run can be repeated without doubles.

Each line that has no idempotency key of its own gets one: the run's name and the line's number. So the same run sends the same
bytes under the same keys, and what was created before is answered as replayed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

import msgspec
from msgspec import UNSET, Struct, UnsetType

from commands.ports import Unavailable
from domain.errors import JobledgerError

SHOWN = 20  # refused lines that are kept with their reasons
MAX_LINE_BYTES = 8 * 1024 * 1024  # no service takes a longer job unless it is set up so; and all of it lies in memory
_BATCH_BYTES = 4 * 1024 * 1024  # beside which one more line may lie
_LONGEST_PAUSE = 5.0  # seconds between two tries


class BatchTooLarge(JobledgerError):
    """The service takes no request of that size."""

    code = "batch_too_large"


class IntakeRefuses(JobledgerError):
    """The service refuses the request as a whole, and would again."""

    code = "intake_refuses"


class IntakeAnswer(Struct, frozen=True):
    """What became of one job: `problem` is empty where it is kept. `replayed`: it was there already."""

    replayed: bool = False
    problem: str = ""


class JobIntake(Protocol):
    """Where jobs are taken, many at a time. Blocks."""

    def post(self, jobs: Sequence[bytes]) -> list[IntakeAnswer]:
        """Send the jobs' JSON texts, none of which holds a line break; what became of each, in order.

        Raises Unavailable (they may be kept all the same), BatchTooLarge, IntakeRefuses.
        """


class Refused(Struct, frozen=True):
    """A line that became no job."""

    line: int
    problem: str


class Summary(Struct):
    """What has become of the lines so far; `first` has the first that were refused. `bytes` counts all that was read."""

    created: int = 0
    replayed: int = 0
    refused: int = 0
    first: list[Refused] = msgspec.field(default_factory=list)
    lines: int = 0
    bytes: int = 0

    def refuse(self, line: int, problem: str) -> None:
        """Count a line that became no job."""
        self.refused += 1
        if len(self.first) < SHOWN:
            self.first.append(Refused(line, problem))


class _Line(Struct, frozen=True):
    number: int
    job: bytes
    read: int  # bytes read up to its end


class _Job(Struct, rename="camel"):
    idempotency_key: str | UnsetType | None = UNSET


_decode = msgspec.json.Decoder(_Job).decode


def keyed(job: bytes, key: str) -> bytes:
    """The job with that idempotency key, if it has none; what is no job stays as it is, for the service to refuse."""
    try:
        has_one = isinstance(_decode(job).idempotency_key, str)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return job
    if has_one or not job[1:-1].strip():
        return job
    # Of repeated names the last counts, so a null of the line's own does no harm.
    return b'%b,"idempotencyKey":"%b"}' % (job[:-1].rstrip(), key.encode("ascii"))


class Submitter:
    """One run. `run` is its name: visible ASCII without a quotation mark or backslash. `patience`: seconds to go on trying while
    the service is away. `told` hears of each batch."""

    def __init__(
        self,
        *,
        intake: JobIntake,
        run: str,
        batch: int,
        patience: float,
        told: Callable[[Summary], None],
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.summary = Summary()
        self._intake = intake
        self._run = run
        self._batch = batch
        self._patience = patience
        self._told = told
        self._sleep = sleep
        self._now = now

    def submit(self, text: Iterable[bytes]) -> Summary:
        """Send all lines of `text` (pieces of any size). Raises Unavailable and IntakeRefuses; `summary` says how far it came."""
        for lines in self._batches(text):
            answers = self._post([line.job for line in lines])
            for line, answer in zip(lines, answers, strict=True):
                if answer.problem:
                    self.summary.refuse(line.number, answer.problem)
                elif answer.replayed:
                    self.summary.replayed += 1
                else:
                    self.summary.created += 1
            self.summary.lines, self.summary.bytes = lines[-1].number, lines[-1].read
            self._told(self.summary)
        return self.summary

    def _post(self, jobs: list[bytes]) -> list[IntakeAnswer]:
        try:
            return self._post_patiently(jobs)
        except BatchTooLarge as exc:
            if len(jobs) == 1:
                return [IntakeAnswer(problem=str(exc))]
            middle = len(jobs) // 2
            return self._post(jobs[:middle]) + self._post(jobs[middle:])

    def _post_patiently(self, jobs: list[bytes]) -> list[IntakeAnswer]:
        until, pause = self._now() + self._patience, 0.1
        while True:
            try:
                return self._intake.post(jobs)
            except Unavailable as exc:
                if self._now() >= until:
                    raise
                self._sleep(min(max(pause, exc.retry_after), _LONGEST_PAUSE))
                pause *= 2

    def _batches(self, text: Iterable[bytes]) -> Iterator[list[_Line]]:
        lines: list[_Line] = []
        size = 0
        for line in self._lines(text):
            lines.append(line)
            size += len(line.job)
            if len(lines) == self._batch or size >= _BATCH_BYTES:
                yield lines
                lines, size = [], 0
        if lines:
            yield lines

    def _lines(self, text: Iterable[bytes]) -> Iterator[_Line]:
        read = 0
        for number, (line, length) in enumerate(_split(text), start=1):
            read += length
            if line is None:
                self.summary.refuse(number, f"is longer than {MAX_LINE_BYTES} bytes")
            elif job := line.strip(b" \t\r\n"):
                yield _Line(number, keyed(job, f"submit/{self._run}/{number}"), read)


def _split(text: Iterable[bytes]) -> Iterator[tuple[bytes | None, int]]:
    """Each line with its length; None for one that is too long, of which no more than that is held."""
    held = bytearray()
    length = 0
    for piece in text:
        start = 0
        while (end := piece.find(b"\n", start)) >= 0:
            length += end + 1 - start
            yield (None if length > MAX_LINE_BYTES else bytes(held) + piece[start:end]), length
            held.clear()
            length, start = 0, end + 1
        length += len(piece) - start
        if length <= MAX_LINE_BYTES:
            held += piece[start:]
    if length:
        yield (None if length > MAX_LINE_BYTES else bytes(held)), length
