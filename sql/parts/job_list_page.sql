-- Of the jobs that are `examined`, newest first, a page of those that are wanted; beside them, where not enough are found, the last
-- that was examined (null: there are no more). There is always a row.
page as materialized (
    select w.* from examined w
    where (%(type)s::text is null or w.type = %(type)s)
      and (%(status)s::text is null or w.status = %(status)s)
      and (%(priority)s::text is null or w.priority = %(priority)s)
      and (%(tag)s::text is null or w.tags @> array[%(tag)s]::text[])
      and (%(created_after)s::timestamptz is null or w.created_at >= %(created_after)s)
      and (%(created_before)s::timestamptz is null or w.created_at < %(created_before)s)
    order by w.id desc
    limit %(limit)s
)
select
    case when (select count(*) from page) < %(limit)s then
        (select e.id from examined e order by e.id desc offset %(examined)s - 1 limit 1)::text
    end,
    p.id::text,
    p.version, p.state, p.type, p.priority, p.attempts, p.used, p.max_attempts, p.created_at, p.updated_at,
    p.worker, p.outcome, null::text, p.error::text, p.due_at, p.queued_position, p.tags
from (select) one
left join page p on true
order by p.id desc
