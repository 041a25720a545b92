-- What the positions after `span.after`, up to `span.upto`, hold, gathered in one pass over them: a row for each job that has an event other
-- than Created there; and for all Created of one type, priority, state and second together a row, whose job_id is null.
select
    case when e.type <> 'Created' then e.job_id end as job_id,
    case when e.type = 'Created' then
        -- Type and priority, which the log writes first of all. The rest differs from job to job.
        case
            when e.data::text like '{"type":"%%","priority":"%%","attempt":%%' then split_part(e.data::text, ',"attempt":', 1) || '}'
            else e.data::text
        end
    end as words,
    case when e.type = 'Created' then
        case
            when (strpos(e.data::text, '"delay":') > 0 or strpos(e.data::text, '"runAt":') > 0)
                and coalesce(e.data ->> 'delay', e.data ->> 'runAt') is not null
            then 'waiting'
            else 'queued'
        end
    end as state,
    case when e.type = 'Created' then date_bin('1 second', e.recorded_at, 'epoch') end as second,
    max(e.position) as last_position,
    count(*)::int as events,
    min(e.version) as first,
    bool_and(e.type in ('Started', 'Completed')) as is_plain,
    max(e.recorded_at) filter (where e.type = 'Started') as started_at,
    max(e.recorded_at) filter (where e.type = 'Completed') as completed_at
from span s
join events e on e.position > s.after and e.position <= s.upto
group by 1, 2, 3, 4
