-- Which attempts of a page of the log were given up as lost though their worker had been heard of less than `liveness` seconds
-- before? An event by the worker is one whose actor it is. Not judged: what a worker says of itself.
-- Reads back over the log by position, just as far as the time asks for; times never fall along positions.
with lost as materialized (
    select position, job_id, version, data ->> 'worker' as worker, recorded_at
    from events
    where position between %(first)s and %(last)s
      -- in this order: data that cannot be read must not be looked into
      and case when type in ('Attempted', 'Failed', 'Cancelled') and job_id <> all (%(unreadable)s::uuid[])
          then data ->> 'outcome' = 'lost' and actor <> data ->> 'worker' end
),
begins as materialized (
    select coalesce((
        select e.position from events e
        where e.position < %(first)s
          and e.recorded_at <= (select min(recorded_at) from lost) - make_interval(secs => %(liveness)s)
        order by e.position desc
        limit 1
    ), 0) as position
    where exists (select from lost)
),
heard as materialized (
    select e.position, e.actor, e.recorded_at
    from begins b
    join events e on e.position > b.position and e.position < %(last)s
    where e.actor in (select worker from lost)
)
select l.job_id::text, l.version, l.position, l.worker, extract(epoch from l.recorded_at - max(h.recorded_at))::float8
from lost l
join heard h on h.actor = l.worker and h.position < l.position
    and h.recorded_at > l.recorded_at - make_interval(secs => %(liveness)s)
group by l.job_id, l.version, l.position, l.worker, l.recorded_at
