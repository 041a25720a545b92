-- Which rows of `jobs`, in a range of ids, are not what the log says? The fold of all events up to the checkpoint, held against the rows
-- in both directions and in every column; json byte for byte. One row a job that differs; most ranges answer none.
-- Safe on a live system, range by range: one statement sees one snapshot, and the projector moves rows and checkpoint in one
-- transaction, so in any snapshot the rows of a range are the fold at the checkpoint of that same snapshot. A job lies in one
-- range, so what holds of every range, each at a moment of its own, holds of the table.
with checkpoint as materialized (
    select position from checkpoints where name = 'jobs'
),
page as (
    select e.job_id, e.version, e.position, e.type, e.data, e.content, e.recorded_at
    from events e
    where (%(after)s::uuid is null or e.job_id > %(after)s::uuid) and e.job_id <= %(last)s::uuid
      and (%(ids)s::uuid[] is null or e.job_id = any (%(ids)s::uuid[]))
      and e.job_id <> all (%(unreadable)s::uuid[])
      and e.position + 0 <= (select c.position from checkpoint c)  -- + 0: by the ids, never by the index on positions
),
folded as (
    -- part: folded_jobs
),
wanted (
    id, version, state, type, priority, attempts, used, max_attempts,
    created_at, updated_at, worker, outcome, error, result, due_at, queued_position, tags
) as (
    -- part: new_job_rows
),
found as (
    select * from jobs j
    where (%(after)s::uuid is null or j.id > %(after)s::uuid) and j.id <= %(last)s::uuid
      and (%(ids)s::uuid[] is null or j.id = any (%(ids)s::uuid[]))
      and j.id <> all (%(unreadable)s::uuid[])
)
select
    coalesce(w.id, f.id)::text,
    coalesce(w.version, f.version),
    (select e.position from events e where e.job_id = w.id and e.version = w.version limit 1),
    -- part: row_differences
from wanted w
full join found f on f.id = w.id
where (f.id, f.version, f.state, f.type, f.priority, f.attempts, f.used, f.max_attempts, f.created_at, f.updated_at,
       f.worker, f.outcome, f.due_at, f.queued_position, f.tags, f.error::text, f.result::text)
    is distinct from
      (w.id, w.version, w.state, w.type, w.priority, w.attempts, w.used, w.max_attempts, w.created_at, w.updated_at,
       w.worker, w.outcome, w.due_at, w.queued_position, w.tags, w.error::text, w.result::text)
