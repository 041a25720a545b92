-- What is shown of these jobs. Whether that attempt still runs, the log knows.
select p.job_id::text, p.attempt, p.fraction, p.note, p.reported_at
from progress p
where p.job_id = any (%(job_ids)s::uuid[])
