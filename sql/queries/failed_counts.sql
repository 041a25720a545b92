-- How many jobs of each type have failed since a time. As in failed_jobs.sql.
select j.type, count(*)
from jobs j
where j.status = 'failed'
  and j.updated_at >= %(since)s
  and (%(type)s::text is null or j.type = %(type)s)
  and (%(error)s::text is null or strpos(lower(j.error::text), lower(%(error)s)) > 0)
group by j.type
order by j.type
