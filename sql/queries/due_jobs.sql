-- The jobs whose wait is over, the longest overdue first, and those of the next quarter of a second, with the seconds left.
-- Whole milliseconds, rounded down, as the log's clock: so a Queued is never recorded before its job was due.
select
    j.id::text,
    j.version, j.state, j.type, j.priority, j.attempts, j.used, j.max_attempts, j.created_at, j.updated_at,
    j.worker, j.outcome, j.result::text, j.error::text, j.due_at, j.queued_position, j.tags,
    extract(epoch from j.due_at - date_trunc('milliseconds', statement_timestamp()))::float8 as seconds_left
from jobs j
where j.due_at is not null and j.due_at <= statement_timestamp() + interval '0.25 seconds'
order by j.due_at
limit %(limit)s
