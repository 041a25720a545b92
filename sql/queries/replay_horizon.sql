-- How far the log reaches: its newest position, the time up to which its past is known, and the greatest id of all jobs.
select coalesce(h.position, 0), greatest(clock_timestamp(), h.recorded_at), j.job_id::text
from (select) always
left join lateral (select position, recorded_at from events order by position desc limit 1) h on true
left join lateral (select job_id from events order by job_id desc, version desc limit 1) j on true
