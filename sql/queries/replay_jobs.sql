-- The next jobs by their ids, each as it was at a position: the fold of its events up to there.
-- A page is the jobs of the next so many events, or of fewer if what may be results and errors among them comes to so many bytes;
-- a job is always whole. Beside each job stands the id of the page's last. No row: there is no further job.
-- Safe on a running system: what is at or below a position never changes, so pages of different snapshots fit together.
with bound as materialized (
    select job_id from (
        select job_id, sum(size) over (order by job_id, version) - size as before
        from (
            select
                job_id, version,
                -- a payload is no part of a job's row
                case when version > 1 and position <= %(position)s then coalesce(octet_length(content::text), 0) else 0 end as size
            from events
            where job_id > %(after)s::uuid and job_id <= %(last)s::uuid
            order by job_id, version
            limit %(limit)s
        ) ahead
    ) sized
    where before < %(bytes)s
    order by job_id desc limit 1
),
page as (
    select e.job_id, e.version, e.position, e.type, e.data, e.content, e.recorded_at
    from events e
    where e.job_id > %(after)s::uuid and e.job_id <= (select job_id from bound) and e.position <= %(position)s
),
folded as (
    -- part: folded_jobs
)
select
    b.job_id::text, j.id::text,
    j.version, j.state, j.type, j.priority, j.attempts, j.used, j.max_attempts, j.created_at, j.updated_at,
    j.worker, j.outcome, j.result::text, j.error::text, j.due_at, j.queued_position, j.tags
from bound b
left join (
    -- part: new_job_rows
) as j (
    id, version, state, type, priority, attempts, used, max_attempts,
    created_at, updated_at, worker, outcome, error, result, due_at, queued_position, tags
) on true
order by j.id
