-- What the fold in SQL makes, up to a position, of the jobs in a range of ids (or of `ids`): the rows of `jobs`, in the columns' order
-- of the domain's Job. For holding it against the fold in domain.job.
with page as (
    select e.job_id, e.version, e.position, e.type, e.data, e.content, e.recorded_at
    from events e
    where (%(after)s::uuid is null or e.job_id > %(after)s::uuid) and e.job_id <= %(last)s::uuid
      and (%(ids)s::uuid[] is null or e.job_id = any (%(ids)s::uuid[]))
      and e.job_id <> all (%(unreadable)s::uuid[])
      and e.position + 0 <= %(upto)s  -- + 0: by the ids, never by the index on positions
),
folded as (
    -- part: folded_jobs
),
wanted (
    id, version, state, type, priority, attempts, used, max_attempts,
    created_at, updated_at, worker, outcome, error, result, due_at, queued_position, tags
) as (
    -- part: new_job_rows
)
select
    w.id::text,
    w.version, w.state, w.type, w.priority, w.attempts, w.used, w.max_attempts, w.created_at, w.updated_at,
    w.worker, w.outcome, w.result::text, w.error::text, w.due_at, w.queued_position, w.tags
from wanted w
