-- Which jobs of a range are not of the plainest kind: created to run at once, started, completed, and so in `jobs`? Only these have to be
-- looked at closely; of a job of that kind every rule of its stream holds, and its row is the fold of the log.
-- Sound because nothing is taken for granted: the whole history is there, in the snapshot of row and checkpoint, with its very
-- bytes; `data` is compared, unparsed, with the text that the row's values make. Whatever is in doubt counts as not plain.
with checkpoint as materialized (
    select least(position, %(upto)s) as position from checkpoints where name = 'jobs'
),
log as (
    select
        job_id,
        count(*) as events,
        max(version) as version,
        max(type) filter (where version = 1) as type1,
        max(type) filter (where version = 2) as type2,
        max(type) filter (where version = 3) as type3,
        max(data::text) filter (where version = 1) as data1,
        max(data::text) filter (where version = 2) as data2,
        max(data::text) filter (where version = 3) as data3,
        max(position) filter (where version = 1) as position1,
        max(position) filter (where version = 2) as position2,
        max(position) filter (where version = 3) as position3,
        max(recorded_at) filter (where version = 1) as recorded_at1,
        max(recorded_at) filter (where version = 3) as recorded_at3,
        max(actor) filter (where version = 2) as actor2,
        max(content::text) filter (where version = 3) as content3
    from events
    where (%(after)s::uuid is null or job_id > %(after)s::uuid) and job_id <= %(last)s::uuid
      and (%(ids)s::uuid[] is null or job_id = any (%(ids)s::uuid[]))
    group by job_id
),
found as (
    select * from jobs j
    where (%(after)s::uuid is null or j.id > %(after)s::uuid) and j.id <= %(last)s::uuid
      and (%(ids)s::uuid[] is null or j.id = any (%(ids)s::uuid[]))
)
select coalesce(l.job_id, j.id)::text
from log l
full join found j on j.id = l.job_id
where not coalesce(
    l.events = 3 and l.version = 3
    and l.type1 = 'Created' and l.type2 = 'Started' and l.type3 = 'Completed'
    and l.position1 < l.position2 and l.position2 < l.position3
    and l.position3 <= (select c.position from checkpoint c)
    and l.data1 = '{"type":' || to_json(j.type) || ',"priority":' || to_json(j.priority)
        || ',"attempt":1,"used":0,"maxAttempts":' || j.max_attempts || '}'
    and j.max_attempts >= 1
    and l.data2 = '{"attempt":1,"worker":' || to_json(l.actor2) || '}'
    and l.data3 = l.data2
    and j.version = 3 and j.state = 'Completed' and j.attempts = 1 and j.used = 0
    and j.created_at = l.recorded_at1 and j.updated_at = l.recorded_at3
    and j.worker is null and j.outcome is null and j.error is null and j.due_at is null and j.queued_position is null and j.tags is null
    and j.result::text is not distinct from l.content3,
    false)
