-- The jobs, in a range of ids (or of `ids`), that are neither over nor waiting for a time to come; by the log alone.
select e.job_id::text, e.version, e.position, e.type
from events e
where (%(after)s::uuid is null or e.job_id > %(after)s::uuid) and e.job_id <= %(last)s::uuid
  and (%(ids)s::uuid[] is null or e.job_id = any (%(ids)s::uuid[]))
  and e.job_id <> all (%(unreadable)s::uuid[])
  and e.position + 0 <= %(upto)s  -- + 0: by the ids, never by the index on positions
  and e.type not in ('Completed', 'Failed', 'Cancelled')
  and not exists (
      select from events l where l.job_id = e.job_id and l.version > e.version and l.position + 0 <= %(upto)s
  )
  and case e.type
      when 'Created' then coalesce(
          coalesce(e.recorded_at + make_interval(secs => (e.data ->> 'delay')::float8), (e.data ->> 'runAt')::timestamptz)
              <= clock_timestamp(), true)
      when 'Attempted' then
          e.recorded_at + make_interval(secs => (e.data ->> 'retryAfter')::float8) <= clock_timestamp()
      else true
  end
