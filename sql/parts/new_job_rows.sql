-- The rows of `jobs` for those of `folded` that begin in it.
select
    f.id, f.version, f.state, f.type, f.priority, coalesce(f.attempts, 0), f.used, f.max_attempts,
    f.created_at, f.updated_at, f.worker,
    case when f.state <> 'Completed' then f.outcome end,
    case when f.state <> 'Completed' then f.error end,
    f.result, f.due_at, f.queued_position, f.tags
from folded f
where f.is_new
