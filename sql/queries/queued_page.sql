-- The jobs that are queued, in the order in which they were, after a position; with the log's id and the checkpoint of `jobs`.
-- Safe because one statement sees one snapshot: what was queued up to the checkpoint and is not here has gone on since. The age is
-- asked for only if there is one: were the clock stepped back, a row could be younger than nothing. There is always a row.
select l.id::text, c.position, e.job_id::text, e.version, (extract(epoch from e.recorded_at) * 1000)::bigint,
       j.queued_position, j.id::text, j.version, j.priority, j.type, j.attempts + 1
from log l
left join checkpoints c on c.name = 'jobs'
left join events e on e.position = c.position
left join lateral (
    select * from jobs
    where queued_position > %(after)s
      and (%(min_age)s = 0 or updated_at <= clock_timestamp() - make_interval(secs => %(min_age)s))
    order by queued_position
    limit %(limit)s
) j on true
order by j.queued_position
