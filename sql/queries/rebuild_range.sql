-- Folds all events up to a fixed position of the jobs in one range of ids into a new table. No order of ranges matters: a job lies
-- in one range, and what is at or below a position never changes.
with page as (
    select e.job_id, e.version, e.position, e.type, e.data, e.content, e.recorded_at
    from events e
    where e.job_id >= %(first)s::uuid and e.job_id <= %(last)s::uuid and e.position <= %(upto)s
),
folded as (
    -- part: folded_jobs
)
insert into {table} (
    id, version, state, type, priority, attempts, used, max_attempts,
    created_at, updated_at, worker, outcome, error, result, due_at, queued_position
)
-- part: new_job_rows
