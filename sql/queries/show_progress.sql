-- Shows what attempts said last, and takes down what is shown of those that are over. What a later attempt of a job has said stays,
-- however late an earlier one is heard. In the order of the jobs, so that two workers, of whom one was given up, do not wait in a circle.
with said as (
    select * from unnest(%(job_ids)s::uuid[], %(attempts)s::int[], %(fractions)s::float8[], %(notes)s::text[])
        as s (job_id, attempt, fraction, note)
),
over as (
    delete from progress p
    using unnest(%(over_ids)s::uuid[], %(over_attempts)s::int[]) as o (job_id, attempt)
    where p.job_id = o.job_id and p.attempt = o.attempt
      and not exists (select from said s where s.job_id = o.job_id) -- which takes its place below
)
insert into progress as p (job_id, attempt, fraction, note, reported_at)
select s.job_id, s.attempt, s.fraction, s.note, date_trunc('milliseconds', clock_timestamp())
from said s
order by s.job_id
on conflict (job_id) do update
set attempt = excluded.attempt, fraction = excluded.fraction, note = excluded.note, reported_at = excluded.reported_at
where p.attempt <= excluded.attempt
