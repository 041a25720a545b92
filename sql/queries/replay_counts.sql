-- The next jobs by their ids, counted as they stood at a position, by the type of their newest event, their type and priority.
-- A page is the jobs of the next so many events, whole: beside each count stands the id of its last. No row: there is no further job.
-- Safe on a running system: what is at or below a position never changes, so pages of different snapshots fit together.
with bound as materialized (
    select job_id from (
        select job_id, version from events
        where job_id > %(after)s::uuid and job_id <= %(last)s::uuid
        order by job_id, version
        limit %(limit)s
    ) ahead
    order by job_id desc limit 1
),
newest as (
    select
        (array_agg(e.type order by e.version))[count(*)] as state,
        max(e.data ->> 'type') filter (where e.version = 1) as type,
        max(e.data ->> 'priority') filter (where e.version = 1) as priority
    from events e
    where e.job_id > %(after)s::uuid and e.job_id <= (select job_id from bound) and e.position <= %(position)s
    group by e.job_id
)
select b.job_id::text, n.state, n.type, n.priority, n.jobs
from bound b
left join (
    select state, type, priority, count(*) as jobs from newest group by state, type, priority
) n on true
