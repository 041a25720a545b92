-- Which jobs ended by the next events after a position: the last of these events, how many they are, and the jobs. There is always
-- a row, with null for no events. Costs what the events cost, however many wait for jobs.
select max(e.position), count(*), coalesce(array_agg(e.job_id::text) filter (where e.type = any (%(ends)s)), '{}')
from (
    select position, job_id, type from events
    where position > %(after)s
    order by position
    limit %(limit)s
) e
