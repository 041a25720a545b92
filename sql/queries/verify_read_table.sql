-- Which rows of `jobs`, in a range of ids, are not what the log says? The fold of all events up to the checkpoint, held against the rows
-- in both directions and in every column; json byte for byte. One row a job that differs; most ranges answer none.
-- Safe on a live system, range by range: one statement sees one snapshot, and the projector moves rows and checkpoint in one
-- transaction, so in any snapshot the rows of a range are the fold at the checkpoint of that same snapshot. A job lies in one
-- range, so what holds of every range, each at a moment of its own, holds of the table.
with checkpoint as materialized (
    select position from checkpoints where name = 'jobs'
),
page as (
    select e.job_id, e.version, e.position, e.type, e.data, e.content, e.recorded_at
    from events e
    where (%(after)s::uuid is null or e.job_id > %(after)s::uuid) and e.job_id <= %(last)s::uuid
      and (%(ids)s::uuid[] is null or e.job_id = any (%(ids)s::uuid[]))
      and e.job_id <> all (%(unreadable)s::uuid[])
      and e.position + 0 <= (select c.position from checkpoint c)  -- + 0: by the ids, never by the index on positions
),
folded as (
    -- part: folded_jobs
),
wanted (
    id, version, state, type, priority, attempts, used, max_attempts,
    created_at, updated_at, worker, outcome, error, result, due_at, queued_position
) as (
    -- part: new_job_rows
),
found as (
    select * from jobs j
    where (%(after)s::uuid is null or j.id > %(after)s::uuid) and j.id <= %(last)s::uuid
      and (%(ids)s::uuid[] is null or j.id = any (%(ids)s::uuid[]))
      and j.id <> all (%(unreadable)s::uuid[])
)
select
    coalesce(w.id, f.id)::text,
    coalesce(w.version, f.version),
    (select e.position from events e where e.job_id = w.id and e.version = w.version limit 1),
    w.id is not null as is_in_log,
    f.id is not null as is_in_table,
    array_remove(array[
        case when f.version is distinct from w.version then 'version' end,
        case when f.state is distinct from w.state then 'state' end,
        case when f.type is distinct from w.type then 'type' end,
        case when f.priority is distinct from w.priority then 'priority' end,
        case when f.attempts is distinct from w.attempts then 'attempts' end,
        case when f.used is distinct from w.used then 'used' end,
        case when f.max_attempts is distinct from w.max_attempts then 'max_attempts' end,
        case when f.created_at is distinct from w.created_at then 'created_at' end,
        case when f.updated_at is distinct from w.updated_at then 'updated_at' end,
        case when f.worker is distinct from w.worker then 'worker' end,
        case when f.outcome is distinct from w.outcome then 'outcome' end,
        case when f.due_at is distinct from w.due_at then 'due_at' end,
        case when f.queued_position is distinct from w.queued_position then 'queued_position' end,
        -- may be personal: named last, and their values are never shown
        case when f.error::text is distinct from w.error::text then 'error' end,
        case when f.result::text is distinct from w.result::text then 'result' end
    ], null) as columns,
    (
        select to_json(shown) from (
            select f.version, f.state, f.type, f.priority, f.attempts, f.used, f.max_attempts, f.created_at,
                   f.updated_at, f.worker, f.outcome, f.due_at, f.queued_position
        ) shown
    )::text as in_table,
    (
        select to_json(shown) from (
            select w.version, w.state, w.type, w.priority, w.attempts, w.used, w.max_attempts, w.created_at,
                   w.updated_at, w.worker, w.outcome, w.due_at, w.queued_position
        ) shown
    )::text as in_log
from wanted w
full join found f on f.id = w.id
where (f.id, f.version, f.state, f.type, f.priority, f.attempts, f.used, f.max_attempts, f.created_at, f.updated_at,
       f.worker, f.outcome, f.due_at, f.queued_position, f.error::text, f.result::text)
    is distinct from
      (w.id, w.version, w.state, w.type, w.priority, w.attempts, w.used, w.max_attempts, w.created_at, w.updated_at,
       w.worker, w.outcome, w.due_at, w.queued_position, w.error::text, w.result::text)
