-- One page of the log for the relay: the events from a position on, in order, with the log's id and its head.
-- Safe because one statement sees one snapshot, in which positions have no gap: a page that lacks one shows damage. There is always
-- a row, without an event where the log ends before the position. `data` is read only where it can say that a job is queued.
select l.id::text, coalesce(h.position, 0),
       e.position, e.job_id::text, e.version, e.type, case when e.type = any (%(queueing)s) then e.data::text end,
       (extract(epoch from e.recorded_at) * 1000)::bigint
from log l
left join lateral (select position from events order by position desc limit 1) h on true
left join lateral (
    select position, job_id, version, type, data, recorded_at from events
    where position >= %(begin)s
    order by position
    limit %(limit)s
) e on true
order by e.position
