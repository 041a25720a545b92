-- Where the events that closed lost attempts stand, and which traces their jobs belong to: for the lines that tell of them.
select l.job_id::text, e.position, c.data ->> 'trace'
from unnest(%(job_ids)s::uuid[], %(versions)s::int[]) as l (job_id, version)
join events c on c.job_id = l.job_id and c.version = 1
left join events e on e.job_id = l.job_id and e.version = l.version + 1
