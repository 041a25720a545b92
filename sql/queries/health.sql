-- How are all parts? One statement, so one moment. Every branch is a look at one row or one index entry, but for `workers`,
-- which has a row a live worker. Ages are on this database's clock; null where there is nothing to measure from.
select
    coalesce((select e.position from events e order by e.position desc limit 1), 0) as head,
    c.position as projected,
    extract(epoch from clock_timestamp()
        - (select e.recorded_at from events e where e.position = c.position + 1))::float8 as projection_age,
    l.relayed_position as relayed,
    case when l.expires_at > clock_timestamp() then l.holder end as dispatcher,
    l.redis_state,
    case when isfinite(l.reported_at) then l.reported_at end as redis_reported_at,
    -- Taken from an infinite time, the age would be an error before PostgreSQL 17.
    case when isfinite(l.reported_at)
        then extract(epoch from clock_timestamp() - l.reported_at)::float8 end as redis_report_age,
    w.workers,
    w.workers_direct,
    w.workers_unable
from checkpoints c
cross join dispatcher_lease l
cross join (
    select count(*) as workers,
           count(*) filter (where claims_from = 'jobs') as workers_direct,
           count(*) filter (where claims_from is null) as workers_unable
    from workers
) w
where c.name = 'jobs';
