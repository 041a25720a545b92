"""Submitting a text of jobs: keys, batches, patience, and a run that is repeated; over a fake of the service."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import pytest

from commands.ports import Unavailable
from commands.submit_jobs import (
    MAX_LINE_BYTES,
    BatchTooLarge,
    IntakeAnswer,
    IntakeRefuses,
    Refused,
    Submitter,
    Summary,
    keyed,
)
from tests.fakes.job_intake import FakeJobIntake


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(seconds)


def job(number: int) -> bytes:
    return b'{"type": "NOOP", "payload": %d}' % number


def submitter(intake: FakeJobIntake, time: Time | None = None, *, batch: int = 3, run: str = "r") -> Submitter:
    clock = time or Time()
    return Submitter(
        intake=intake,
        run=run,
        batch=batch,
        patience=10.0,
        told=lambda _: None,
        sleep=clock.sleep,
        now=lambda: clock.now,
    )


def test_each_line_becomes_a_job_under_a_key_of_run_and_line() -> None:
    intake = FakeJobIntake()

    summary = submitter(intake).submit([b"\n".join(job(n) for n in range(4)), b"\r\n\n  \n", job(9)])

    assert (summary.created, summary.replayed, summary.refused, summary.lines) == (5, 0, 0, 7)
    assert [len(batch) for batch in intake.batches] == [3, 2]
    assert list(intake.jobs) == ["submit/r/1", "submit/r/2", "submit/r/3", "submit/r/4", "submit/r/7"]
    assert json.loads(intake.jobs["submit/r/7"]) == {"type": "NOOP", "payload": 9, "idempotencyKey": "submit/r/7"}
    assert summary.bytes == len(b"\n".join(job(n) for n in range(4)) + b"\r\n\n  \n" + job(9))


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_how_the_text_is_cut_into_pieces_does_not_matter(size: int) -> None:
    text = b"\n".join(job(n) for n in range(10))
    whole, cut = FakeJobIntake(), FakeJobIntake()

    submitter(whole).submit([text])
    submitter(cut).submit([text[at : at + size] for at in range(0, len(text), size)])

    assert cut.batches == whole.batches


@pytest.mark.parametrize(
    ("line", "sent"),
    [
        (b'{"type":"T"}', b'{"type":"T","idempotencyKey":"k"}'),
        (b'{"type":"T" }', b'{"type":"T","idempotencyKey":"k"}'),
        (b'{"type":"T","idempotencyKey":"own"}', b'{"type":"T","idempotencyKey":"own"}'),
        (b'{"idempotencyKey":null,"a":"}"}', b'{"idempotencyKey":null,"a":"}","idempotencyKey":"k"}'),
        # What is no job is sent as it is: the service says what is wrong with it.
        (b"{}", b"{}"),
        (b"{ }", b"{ }"),
        (b"[1]", b"[1]"),
        (b'{"type":', b'{"type":'),
        (b'{"idempotencyKey":1}', b'{"idempotencyKey":1}'),
        (b"[" * 100_000, b"[" * 100_000),
    ],
)
def test_a_key_is_added_where_there_is_none(line: bytes, sent: bytes) -> None:
    assert keyed(line, "k") == sent


def test_a_run_that_was_interrupted_is_repeated_without_doubles() -> None:
    intake = FakeJobIntake()
    lines = [job(n) + b"\n" for n in range(10)]

    def cut_off() -> Iterator[bytes]:
        yield b"".join(lines[:7])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        submitter(intake).submit(cut_off())
    assert len(intake.jobs) == 6

    summary = submitter(intake).submit(lines)
    assert (summary.created, summary.replayed) == (4, 6)
    assert len(intake.jobs) == 10
    assert (submitter(intake, run="another").submit(lines).created, len(intake.jobs)) == (10, 20)


def test_lines_that_are_refused_are_told_with_their_numbers_and_the_first_are_kept() -> None:
    intake = FakeJobIntake(refuses=lambda sent: b"NOPE" in sent)
    text = [job(1) + b"\n", b'{"type": "NOPE"}\n' * 30, job(2)]

    summary = submitter(intake).submit(text)

    assert (summary.created, summary.refused) == (2, 30)
    assert [refused.line for refused in summary.first] == list(range(2, 22))
    assert summary.first[0].problem == "is refused"


def test_a_line_that_is_too_long_is_passed_over_without_being_held() -> None:
    intake = FakeJobIntake()
    long = (b"x" * 65536 for _ in range(2 * MAX_LINE_BYTES // 65536))

    summary = submitter(intake).submit([job(1) + b"\n", *long, b"\n" + job(3)])

    assert summary.first == [Refused(2, f"is longer than {MAX_LINE_BYTES} bytes")]
    assert list(intake.jobs) == ["submit/r/1", "submit/r/3"]


def test_what_is_too_much_for_one_request_is_sent_in_halves() -> None:
    intake = FakeJobIntake(most=2)

    summary = submitter(intake, batch=8).submit([b"\n".join(job(n) for n in range(8))])

    assert summary.created == 8
    assert [len(batch) for batch in intake.batches] == [2, 2, 2, 2]


def test_a_service_that_comes_back_is_waited_for_and_one_that_does_not_is_given_up() -> None:
    clock = Time()
    intake = FakeJobIntake(away=3)
    assert submitter(intake, clock).submit([job(1)]).created == 1
    assert clock.slept == [0.1, 0.2, 0.4]

    given_up = submitter(FakeJobIntake(away=10**9), Time())
    with pytest.raises(Unavailable):
        given_up.submit([job(1)])
    assert given_up.summary == Summary()


def test_an_answer_that_was_lost_makes_no_double() -> None:
    intake = FakeJobIntake(loses_answers=1)

    summary = submitter(intake).submit([job(1)])

    assert (summary.created, summary.replayed, len(intake.jobs)) == (0, 1, 1)


def test_a_refusal_of_the_whole_ends_the_run() -> None:
    class Refusing(FakeJobIntake):
        def post(self, jobs: Sequence[bytes]) -> list[IntakeAnswer]:
            raise IntakeRefuses("401")

    class TooLarge(FakeJobIntake):
        def post(self, jobs: Sequence[bytes]) -> list[IntakeAnswer]:
            raise BatchTooLarge("at most 3 bytes")

    with pytest.raises(IntakeRefuses):
        submitter(Refusing()).submit([job(1)])
    assert submitter(TooLarge()).submit([job(1)]).first == [Refused(1, "at most 3 bytes")]
