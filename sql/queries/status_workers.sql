-- Each registered worker, where it claims, and what it runs as `jobs` has it: by type, how many and since when the longest.
-- Jobs of workers that are not registered (any more) are there too: they wait to be closed.
with running as materialized (
    select worker, type, count(*) as jobs, min(updated_at) as since
    from jobs where worker is not null
    group by 1, 2
)
select coalesce(w.id, r.worker), w.id is not null, w.claims_from,
       extract(epoch from clock_timestamp() - w.registered_at)::float8,
       r.type, r.jobs, extract(epoch from clock_timestamp() - r.since)::float8
from workers w
full join running r on r.worker = w.id
order by 1, 5
