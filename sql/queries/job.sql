-- One job as of the newest event: its row in `jobs`, and beside it each event beyond that row (all of them while there is no row).
-- Safe because one statement sees one snapshot: row and events belong together, however far the projector is.
select
    j.version, j.state, j.type, j.priority, j.attempts, j.used, j.max_attempts, j.created_at, j.updated_at,
    j.worker, j.outcome, j.result::text, j.error::text, j.due_at, j.queued_position, j.tags,
    e.position, e.version, e.type, e.data::text, e.content::text, e.actor, e.recorded_at
from (select %(job_id)s::uuid as id) wanted
left join jobs j on j.id = wanted.id
left join lateral (
    select * from events where events.job_id = wanted.id and events.version > coalesce(j.version, 0)
    order by events.version
) e on true
