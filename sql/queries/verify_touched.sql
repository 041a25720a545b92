-- The jobs whose newest event, up to a position, lies in a page of the log: over all pages each job that was touched is named once.
select distinct e.job_id::text
from events e
where e.position between %(first)s and %(last)s
  and not exists (
      select from events l where l.job_id = e.job_id and l.version > e.version and l.position + 0 <= %(upto)s
  )
