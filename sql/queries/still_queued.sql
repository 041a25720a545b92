-- Which of these events are still the newest of their job. Answers places, from 1.
-- Asked of the log and not of `jobs`: a worker takes an entry out of the queue only after its Started is here.
select w.place::int
from unnest(%(job_ids)s::uuid[], %(versions)s::int[]) with ordinality as w (job_id, version, place)
where exists (select from events e where e.job_id = w.job_id and e.version = w.version)
  and not exists (select from events e where e.job_id = w.job_id and e.version > w.version)
order by w.place
