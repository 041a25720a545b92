-- What the events of `page` say of each of their jobs. `page` has (job_id, version, position, type, data, content, recorded_at),
-- and of each job a run of versions without a gap. The other half of the fold is domain.job.evolve, which is the reference.
--
-- Each column comes from the newest event that sets it; null where no event of the page does. All ordered aggregates have the same
-- order, that of the primary key, so one sort (or none) serves them all. Reading json is what costs most here: data is looked into
-- only once the events are known that it is asked of, so a long history costs hardly more than a short one.
select
    g.id,
    g.version,
    g.events,
    g.state,
    g.updated_at,
    g.is_new,
    -- of Created alone
    c.type,
    c.priority,
    c.tags,
    g.created_at,
    -- of the newest event that sets it
    (g.datas[g.started] ->> 'attempt')::int as attempts,
    case when g.counting = 1 and g.is_new then c.used else (g.datas[g.counting] ->> 'used')::int end as used,
    case when g.queueing = 1 and g.is_new then c."maxAttempts" else (g.datas[g.queueing] ->> 'maxAttempts')::int end
        as max_attempts,
    g.failed is not null as has_failed,
    g.datas[g.failed] ->> 'outcome' as outcome,
    g.errors[cardinality(g.errors)] as error,
    g.results[1] as result,
    -- of the newest event alone; a CancelRequested leaves the worker that the event before it, a Started, has named
    case g.state
        when 'Started' then g.datas[g.events] ->> 'worker'
        when 'CancelRequested' then g.datas[g.events - 1] ->> 'worker'
    end as worker,
    case g.state
        when 'Attempted' then g.updated_at + make_interval(secs => (g.datas[g.events] ->> 'retryAfter')::float8)
        when 'Created' then coalesce(
            g.updated_at + make_interval(secs => (g.datas[g.events] ->> 'delay')::float8),
            (g.datas[g.events] ->> 'runAt')::timestamptz
        )
    end as due_at,
    case g.state
        when 'Queued' then g.last_position
        when 'Created' then
            case when g.datas[g.events] ->> 'delay' is null and g.datas[g.events] ->> 'runAt' is null
                then g.last_position end
    end as queued_position
from (
    select
        h.*,
        h.types[h.events] as state,
        -- places in `datas`
        h.started_version - h.before as started,
        h.counting_version - h.before as counting,
        h.queueing_version - h.before as queueing,
        h.failed_version - h.before as failed
    from (
        select
            p.job_id as id,
            max(p.version) as version,
            count(*)::int as events,
            min(p.version) - 1 as before,
            min(p.version) = 1 as is_new,
            max(p.position) as last_position,
            max(p.recorded_at) as updated_at,
            min(p.recorded_at) filter (where p.version = 1) as created_at,
            array_agg(p.type order by p.version) as types,
            array_agg(p.data order by p.version) as datas,
            max(p.version) filter (where p.type = 'Started') as started_version,
            max(p.version) filter (where p.type in ('Created', 'Queued', 'Attempted')) as counting_version,
            max(p.version) filter (where p.type in ('Created', 'Queued')) as queueing_version,
            -- a released attempt has not failed; a Cancelled has an outcome only where the attempt that it closes was lost
            max(p.version)
                filter (where p.type = 'Failed' or (p.type in ('Attempted', 'Cancelled') and p.data ->> 'outcome' <> 'released'))
                as failed_version,
            array_agg(p.content order by p.version)
                filter (where p.type = 'Failed' or (p.type in ('Attempted', 'Cancelled') and p.data ->> 'outcome' <> 'released'))
                as errors,
            array_agg(p.content order by p.version) filter (where p.type = 'Completed') as results
        from page p
        group by p.job_id
    ) h
    offset 0  -- so that all this is reckoned once, not wherever it is used
) g
left join lateral json_to_record(case when g.is_new then g.datas[1] end)
    as c (type text, priority text, used int, "maxAttempts" int, tags text[]) on true
