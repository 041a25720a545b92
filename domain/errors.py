"""What can go wrong by the rules of the domain. Each error has a stable code and typed fields; no transport words."""

from __future__ import annotations


class JobledgerError(Exception):
    """The root of every error that Jobledger itself raises; `code` is stable and may be matched by callers."""

    code = "jobledger_error"


class IllegalTransition(JobledgerError):
    """The state of a job forbids what was wanted."""

    code = "illegal_transition"

    def __init__(self, job_id: str, state: str | None, wanted: str) -> None:
        super().__init__(f"job {job_id} is {state or 'not there'}: cannot {wanted}")
        self.job_id = job_id
        self.state = state
        self.wanted = wanted


class UnknownEventType(JobledgerError):
    """The log holds an event that this release cannot read: a newer release wrote it, so a reader stops here."""

    code = "unknown_event_type"

    def __init__(self, event_type: str, position: int | None = None) -> None:
        at = "" if position is None else f" at position {position}"
        super().__init__(f"unknown event type {event_type!r}{at}: this release is older than the log's writers")
        self.event_type = event_type
        self.position = position


class InvalidJobId(JobledgerError):
    """A text that is no UUID was given as a job's id."""

    code = "invalid_job_id"

    def __init__(self, text: str) -> None:
        super().__init__(
            f"{text[:64]!r} is not a job id: a UUID is wanted, such as 0190f5fe-7c00-7a00-8000-000000000000"
        )
        self.text = text


class UnknownJobType(JobledgerError):
    """No job type of that name is installed."""

    code = "unknown_job_type"

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(f"unknown job type {name!r}: known are {', '.join(known)}")
        self.name = name
        self.known = known


class Unavailable(JobledgerError):
    """A server that this needs cannot be reached or is overloaded now; nothing was done, and trying again may help."""

    code = "unavailable"

    def __init__(self, what: str, *, dependency: str = "", retry_after: float = 1.0) -> None:
        super().__init__(what)
        self.dependency = dependency  # the server's name, such as PostgreSQL; empty: it is none of them
        self.retry_after = retry_after  # seconds


class LogDamaged(JobledgerError):
    """The log has a gap or another log is there: readers stop, a person must look."""

    code = "log_damaged"
