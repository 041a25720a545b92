-- One job's events up to a position or (the other null) a time, both included, to be folded; its payload only if it is wanted.
-- Beside each: the log's newest position, the time up to which the past is known (the database's clock, or the newest event's if
-- that is ahead of it), and where and when the job was created (null: there is no such job). There is always a row.
-- Safe because recorded_at never falls along the log, so what is at or before a time is the beginning of each history.
select
    coalesce(h.position, 0), greatest(clock_timestamp(), h.recorded_at), c.position, c.recorded_at,
    e.position, e.version, e.type, e.data::text,
    case when e.version > 1 or %(with_payload)s then e.content::text end,
    e.actor, e.recorded_at
from (select %(job_id)s::uuid as id) wanted
left join lateral (select position, recorded_at from events order by position desc limit 1) h on true
left join events c on c.job_id = wanted.id and c.version = 1
left join lateral (
    select * from events
    where events.job_id = wanted.id
      and events.position <= coalesce(%(position)s::bigint, 9223372036854775807)
      and events.recorded_at <= coalesce(%(time)s::timestamptz, 'infinity')
    order by events.version
) e on true
