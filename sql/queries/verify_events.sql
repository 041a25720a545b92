-- All events, up to a position, of the jobs in a range of ids (or of `ids`), job by job.
select e.job_id::text, e.position, e.version, e.type, e.data::text, e.content::text, e.actor, e.recorded_at
from events e
where (%(after)s::uuid is null or e.job_id > %(after)s::uuid) and e.job_id <= %(last)s::uuid
  and (%(ids)s::uuid[] is null or e.job_id = any (%(ids)s::uuid[]))
  and e.position + 0 <= %(upto)s  -- + 0: by the ids, never by the index on positions
order by e.job_id, e.version
