-- The jobs to start next, for a worker that cannot read the streams: queued by `jobs`, after a position of each priority, in order;
-- those of default priority only if all of high priority are seen and are fewer than are wanted. Beside each, whether it is still
-- so: `jobs` lags, and an event that follows says that somebody was quicker. Nothing is locked: the append of Started decides.
--
-- There is always a row, with the worker's place among all workers: by it they take different jobs.
with high as materialized (
    select q.*, q.type = any (%(types)s::text[]) and e.version is null as is_open
    from (
        select id, version, type, attempts, queued_position from jobs
        where queued_position > %(after_high)s and priority = 'high'
        order by queued_position
        limit %(limit)s
    ) q
    left join events e on e.job_id = q.id and e.version = q.version + 1
),
others as materialized (
    select q.*, q.type = any (%(types)s::text[]) and e.version is null as is_open
    from (
        select id, version, type, attempts, queued_position from jobs
        where queued_position > %(after_default)s and priority <> 'high'
          and (select count(*) < %(limit)s and count(*) filter (where is_open) < %(wanted)s from high)
        order by queued_position
        limit %(limit)s
    ) q
    left join events e on e.job_id = q.id and e.version = q.version + 1
)
select w.workers, w.rank, p.is_high, p.is_open, p.queued_position, p.id::text, p.version, p.type, p.attempts + 1
from (
    select count(*)::int as workers, (count(*) filter (where id < %(worker)s))::int as rank from workers
) w
left join (
    select true as is_high, high.* from high
    union all
    select false, others.* from others
) p on true
order by p.is_high desc, p.queued_position
