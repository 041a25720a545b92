"""What keeps the log as it is (P3), and the keys and the table that the writers' own checks rest upon (P1, S1, S3).

Seen here is only what is there now: what a superuser undid and restored meanwhile, only the digest can show.
"""

from __future__ import annotations

from collections.abc import Iterator

from projections.verify.checks import Violation
from projections.verify.ports import Protection, Trigger

# pg_trigger.tgtype: 1 for each row, 2 before, 4 insert, 8 delete, 16 update, 32 truncate (PostgreSQL's catalog/pg_trigger.h).
_ROWS = 1 | 2 | 8 | 16
_TABLE = 2 | 32
_FUNCTION = "events_are_immutable"


def judge_protection(found: Protection, transitions: frozenset[tuple[str, str]]) -> Iterator[Violation]:
    """What is missing; `transitions` are the domain's."""
    for wanted, what in ((_ROWS, "UPDATE and DELETE"), (_TABLE, "TRUNCATE")):
        if not any(_refuses(trigger, wanted) for trigger in found.triggers):
            yield _breach("P3", f"no trigger that is always enabled refuses {what} of events")
    if not found.has_own_function:
        yield _breach("P3", f"the function {_FUNCTION} is not the one that the migrations made")
    for role, privilege in sorted(found.grants):
        yield _breach("P3", f"the role {role} has the privilege {privilege} on events")
    for rule in found.rules:
        yield _breach("P3", f"the rule {rule} rewrites statements on events")
    keys = [sorted(columns) for columns in found.unique_keys]
    if ["position"] not in keys:
        yield _breach("P1", "no valid unique index keeps positions apart")
    if ["job_id", "version"] not in keys:
        yield _breach("S1", "no valid unique index keeps the versions of a job apart")
    for before, after in sorted(found.transitions - transitions):
        yield _breach("S3", f"the table transitions lets {after} follow {before or 'nothing'}")
    for before, after in sorted(transitions - found.transitions):
        yield _breach("S3", f"the table transitions does not let {after} follow {before or 'nothing'}")


def _refuses(trigger: Trigger, wanted: int) -> bool:
    return (
        trigger.events & wanted == wanted
        and trigger.enabled == "A"
        and trigger.function == _FUNCTION
        and trigger.unconditional
    )


def _breach(check: str, sentence: str) -> Violation:
    return Violation(check=check, sentence=sentence)
