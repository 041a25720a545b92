-- Who else holds locks on `jobs` or its checkpoint that a swap has to wait for: process, name, and since when its transaction runs.
select distinct a.pid, coalesce(nullif(a.application_name, ''), a.backend_type), extract(epoch from clock_timestamp() - a.xact_start)::float8
from pg_locks l
join pg_stat_activity a on a.pid = l.pid
where l.relation in ('jobs'::regclass, 'jobs_next'::regclass, 'checkpoints'::regclass) and l.granted and l.pid <> pg_backend_pid()
  and a.xact_start < clock_timestamp() - interval '1 second'
order by 3 desc
limit 5
