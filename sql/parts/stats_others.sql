-- The events of those jobs of `touched` whose rows do not say it all, from up to three before their first on: the Created or Queued that an
-- event belongs to is no further away, says the state machine. `is_counted`: in the span.
select
    t.job_id, e.version, e.position, e.type, e.recorded_at as at, e.data,
    e.version >= t.first as is_counted
from span s
cross join touched t
cross join lateral (
    select x.version, x.position, x.type, x.recorded_at, x.data from events x
    where x.job_id = t.job_id and x.version >= t.first - 3 and x.position <= s.upto
    offset 0
) e
where t.job_id is not null and not (t.is_plain and t.started_at is not null)
