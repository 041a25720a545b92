"""Logs that are there before anything is measured: plain jobs (created, started, completed), written inside PostgreSQL.

What is made passes `jobledger verify`: it is the log, and the read table, that the service itself would have made of them.
"""

from __future__ import annotations

from benchmarks.servers import connected

_CHUNK = 500_000  # jobs in one transaction

# As in a drain, a thousand jobs at a time: a thousand Created, then their Started, then their Completed, a millisecond each.
_EVENTS = """
    insert into events (position, job_id, version, type, data, content, actor, recorded_at)
    select %(head)s + row_number() over (order by j.n / 1000, v.version, j.n), j.id, v.version, v.type, v.data::json,
           v.content::json, v.actor, timestamptz '2026-01-01Z' + make_interval(secs => 0.001 * (3 * (j.n / 1000) + v.version))
    from (
        select n, uuidv7(timestamptz '2026-01-01Z' - now() + make_interval(secs => 0.000003 * %(done)s)) as id
        from generate_series(%(done)s::int, %(done)s::int + %(count)s::int - 1) n
    ) j
    cross join (values
        (1, 'Created', '{"type":"NOOP","priority":"default","attempt":1,"used":0,"maxAttempts":3}', '{"number":7}', 'bench'),
        (2, 'Started', '{"attempt":1,"worker":"bench-worker"}', null, 'bench-worker'),
        (3, 'Completed', '{"attempt":1,"worker":"bench-worker"}', 'null', 'bench-worker')
    ) v (version, type, data, content, actor)
"""
_JOBS = """
    insert into jobs (id, version, state, type, priority, attempts, used, max_attempts, created_at, updated_at, result)
    select c.job_id, 3, 'Completed', 'NOOP', 'default', 1, 0, 3, c.recorded_at, d.recorded_at, 'null'
    from events c join events d on d.job_id = c.job_id and d.version = 3 and d.position > %(head)s
    where c.version = 1 and c.position > %(head)s
    order by c.position
"""


def write_history(url: str, *, jobs: int) -> None:
    """Append so many plain jobs to an empty, migrated database; vacuumed, analyzed and on disk in the end."""
    with connected(url) as db:
        db.execute("set synchronous_commit = off")
        db.execute("set work_mem = '512MB'")
        for done in range(0, jobs, _CHUNK):
            count = min(_CHUNK, jobs - done)
            with db.transaction():
                asked = {"head": 3 * done, "done": done, "count": count}
                db.execute(_EVENTS, asked)
                db.execute(_JOBS, asked)
                db.execute("update checkpoints set position = %s where name = 'jobs'", [3 * (done + count)])
        db.execute("vacuum analyze events")
        db.execute("vacuum analyze jobs")
        db.execute("checkpoint")


def job_ids(url: str, *, count: int) -> list[str]:
    """Ids of jobs that are there, from all over the table."""
    with connected(url) as db:
        rows = db.execute(
            """
            select (select e.job_id::text from events e where e.position = p.position)
            from (select 1 + floor(random() * h.position)::bigint as position
                  from (select position from events order by position desc limit 1) h, generate_series(1, %s)) p
            """,
            [count],
        ).fetchall()
    return [job_id for (job_id,) in rows]
