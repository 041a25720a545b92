-- Job ids that cut the jobs into parts of about as many events each: those of the events at every so many positions, in order.
-- (Jobs are few beside their events and ids of version 7 follow time; but random ids would be cut evenly, too.)
select distinct e.job_id::text
from generate_series(1, %(upto)s::bigint, %(step)s::bigint) as g (position)
cross join lateral (
    select job_id from events where position >= g.position order by position limit 1
) e
order by 1
