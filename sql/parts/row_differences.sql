-- How a row `f` of `jobs`, as it was found, differs from the row `w` that the log wants; one of the two may be missing (all null).
-- What may be personal is named last, and its values are never shown.
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
        case when f.tags is distinct from w.tags then 'tags' end,
        case when f.error::text is distinct from w.error::text then 'error' end,
        case when f.result::text is distinct from w.result::text then 'result' end
    ], null) as columns,
    (
        select to_json(shown) from (
            select f.version, f.state, f.type, f.priority, f.attempts, f.used, f.max_attempts, f.created_at,
                   f.updated_at, f.worker, f.outcome, f.due_at, f.queued_position, f.tags
        ) shown
    )::text as in_table,
    (
        select to_json(shown) from (
            select w.version, w.state, w.type, w.priority, w.attempts, w.used, w.max_attempts, w.created_at,
                   w.updated_at, w.worker, w.outcome, w.due_at, w.queued_position, w.tags
        ) shown
    )::text as in_log
