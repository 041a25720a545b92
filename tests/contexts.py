"""A real `jobledger.Context` for tests that run a handler without a worker: it keeps what the handler said."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct, field

import jobledger

JOB_ID = "0190f5fe-7c00-7a00-8000-000000000001"
CREATED_AT = datetime(2026, 1, 27, 10, 30, 0, 123000, tzinfo=UTC)


class HandlerContext(Struct, kw_only=True):
    """What a handler is told of its attempt. `progressed` holds each (fraction, note) that it reported, in order."""

    job_id: str = JOB_ID
    attempt: int = 1
    created_at: datetime = CREATED_AT
    should_stop: bool = False
    trace_id: str | None = None
    progressed: list[tuple[float, str]] = field(default_factory=list)

    @property
    def log(self) -> logging.LoggerAdapter[Any]:
        return logging.LoggerAdapter(
            logging.getLogger("tests.handler"), {"job_id": self.job_id, "attempt": self.attempt}
        )

    def progress(self, fraction: float, note: str = "") -> None:
        self.progressed.append((fraction, note))


def as_context(context: HandlerContext) -> jobledger.Context:
    """The same object; mypy checks here that it is a Context."""
    return context
