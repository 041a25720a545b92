-- All events of one job, in order.
select position, version, type, data::text, content::text, actor, recorded_at
from events where job_id = %(job_id)s::uuid order by version
