-- Folds all events up to a fixed position of the jobs in one range of ids into the new table. No order of ranges matters: a job lies
-- in one range, and what is at or below a position never changes.
-- A job whose history has a hole, or an event that this release cannot read, gets no row: then the sum of the versions in the new table
-- is not the position, and what is wrong is looked for.
with page as (
    select e.job_id, e.version, e.position, e.type, e.data, e.content, e.recorded_at
    from events e
    where (%(after)s::uuid is null or e.job_id > %(after)s::uuid) and e.job_id <= %(last)s::uuid
      and e.position + 0 <= %(upto)s  -- + 0: by the ids, never by the index on positions
      and e.type = any (%(known)s::text[])
),
folded as (
    -- part: folded_jobs
)
insert into jobs_next (
    id, version, state, type, priority, attempts, used, max_attempts,
    created_at, updated_at, worker, outcome, error, result, due_at, queued_position, tags
)
-- part: new_job_rows
  and f.events = f.version
