-- Jobs that are shown as run by a worker that has no row (any more).
select
    j.id::text,
    j.version, j.state, j.type, j.priority, j.attempts, j.used, j.max_attempts, j.created_at, j.updated_at,
    j.worker, j.outcome, j.result::text, j.error::text, j.due_at, j.queued_position, j.tags
from jobs j
where j.worker is not null and not exists (select from workers w where w.id = j.worker)
limit %(limit)s
