"""append_events judges a few commands one after another, and many by one statement: both must say and write the same."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from tests.properties.effort import effort
from tests.real_log import Database, connected, register_workers

JOBS = [f"00000000-0000-7000-8000-{n:012d}" for n in range(4)]
TYPES = ["Created", "Started", "Attempted", "Queued", "Completed", "Cancelled", "Paused"]
ANSWERS = (
    "command, outcome, position, recorded_at is null, found_type, found_data, found_actor, last_version, last_type,"
    " found_job_id, found_digest, created_data, created_position, created_at is null, payload, queued_data,"
    " queued_position"
)
EVENTS = "select position, job_id::text, version, type, data::text, content::text, actor from events order by position"
KEYS = "select actor, key, body_digest, job_id::text from idempotency_keys order by actor, key"

Rows = list[tuple[Any, ...]]


class Wanted(Struct, frozen=True):
    """A command of one event."""

    job: str
    version: int
    type: str
    actor: str
    key: str | None


# No job twice in a batch: that goes the long way in any case.
BATCHES = st.lists(
    st.lists(
        st.builds(
            Wanted,
            job=st.sampled_from(JOBS),
            version=st.integers(1, 5),
            type=st.sampled_from(TYPES),
            actor=st.sampled_from(["w1", "gone"]),
            key=st.sampled_from([None, None, "k1", "k2"]),
        ),
        min_size=1,
        max_size=4,
        unique_by=lambda wanted: wanted.job,
    ),
    min_size=1,
    max_size=12,
)


@given(batches=BATCHES)
@effort(quick=60, long=3_000)
def test_few_and_many_say_and_write_the_same(postgres_url: str, batches: list[list[Wanted]]) -> None:
    with connected(postgres_url) as db:
        few = _run(db, "append_events", batches)
        many = _run(db, "append_many", batches)
    assert few == many


def _run(db: Database, function: str, batches: list[list[Wanted]]) -> tuple[list[Rows], Rows, Rows]:
    """What is answered and what is written; nothing of it stays."""
    with db.transaction(force_rollback=True):
        register_workers(db, ["w1"])
        answers = [
            db.execute(
                f"select {ANSWERS} from {function}(%s::int[], %s::uuid[], %s::int[], %s::text[], %s::text[],"
                " %s::text[], %s::text[], %s::text[], %s::bytea[])",
                _parameters(place, batch),
            ).fetchall()
            for place, batch in enumerate(batches)
        ]
        return answers, db.execute(EVENTS).fetchall(), db.execute(KEYS).fetchall()


def _parameters(place: int, batch: list[Wanted]) -> list[list[Any]]:
    keyed = any(wanted.key for wanted in batch)
    return [
        list(range(len(batch))),
        [wanted.job for wanted in batch],
        [wanted.version for wanted in batch],
        [wanted.type for wanted in batch],
        [f'{{"batch": {place}, "by": {n}}}' for n in range(len(batch))],
        [None if wanted.type == "Cancelled" else f'"content {place}.{n}"' for n, wanted in enumerate(batch)],
        [wanted.actor for wanted in batch],
        [wanted.key for wanted in batch] if keyed else [],
        [None if wanted.key is None else b"%d.%d" % (place, n) for n, wanted in enumerate(batch)] if keyed else [],
    ]
