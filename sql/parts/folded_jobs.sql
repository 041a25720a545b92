-- What the events of `page` say of each of their jobs. `page` has (job_id, version, position, type, data, content, recorded_at),
-- and of each job a run of versions without a gap. The other half of the fold is domain.job.evolve, which is the reference.
--
-- Each column comes from the newest event that sets it; null where no event of the page does. All ordered aggregates have the same
-- order, that of the primary key, so one sort (or none) serves them all.
select
    g.id,
    g.version,
    cardinality(g.types) as events,
    g.types[cardinality(g.types)] as state,
    g.updated_at,
    g.is_new,
    -- of Created alone
    g.type,
    g.priority,
    g.created_at,
    -- of the newest event that sets it
    g.attempts,
    g.used[2] as used,
    g.max_attempts[2] as max_attempts,
    g.fails is not null as has_failed,
    g.fails[cardinality(g.fails)] ->> 'outcome' as outcome,
    g.errors[cardinality(g.errors)] as error,
    g.results[1] as result,
    -- of the newest event alone; a CancelRequested leaves the worker that the event before it, a Started, has named
    case g.types[cardinality(g.types)]
        when 'Started' then g.datas[cardinality(g.types)] ->> 'worker'
        when 'CancelRequested' then g.datas[cardinality(g.types) - 1] ->> 'worker'
    end as worker,
    case
        when g.types[cardinality(g.types)] = 'Attempted' then
            g.updated_at + make_interval(secs => (g.datas[cardinality(g.types)] ->> 'retryAfter')::float8)
        when g.types[cardinality(g.types)] = 'Created' then coalesce(
            g.updated_at + make_interval(secs => (g.datas[cardinality(g.types)] ->> 'delay')::float8),
            (g.datas[cardinality(g.types)] ->> 'runAt')::timestamptz
        )
    end as due_at,
    case
        when g.types[cardinality(g.types)] = 'Queued' then g.last_position
        when g.types[cardinality(g.types)] = 'Created'
            and g.datas[cardinality(g.types)] ->> 'delay' is null
            and g.datas[cardinality(g.types)] ->> 'runAt' is null
        then g.last_position
    end as queued_position
from (
    select
        p.job_id as id,
        max(p.version) as version,
        max(p.position) as last_position,
        max(p.recorded_at) as updated_at,
        array_agg(p.type order by p.version) as types,
        array_agg(p.data order by p.version) as datas,
        bool_or(p.version = 1) as is_new,
        max(p.data ->> 'type') filter (where p.version = 1) as type,
        max(p.data ->> 'priority') filter (where p.version = 1) as priority,
        min(p.recorded_at) filter (where p.version = 1) as created_at,
        max((p.data ->> 'attempt')::int) filter (where p.type = 'Started') as attempts,
        -- the largest pair is that of the newest event
        max(array[p.version, (p.data ->> 'used')::int])
            filter (where p.type in ('Created', 'Queued', 'Attempted')) as used,
        max(array[p.version, (p.data ->> 'maxAttempts')::int])
            filter (where p.type in ('Created', 'Queued')) as max_attempts,
        -- a released attempt has not failed
        array_agg(p.data order by p.version)
            filter (where p.type = 'Failed' or (p.type = 'Attempted' and p.data ->> 'outcome' <> 'released')) as fails,
        array_agg(p.content order by p.version)
            filter (where p.type = 'Failed' or (p.type = 'Attempted' and p.data ->> 'outcome' <> 'released')) as errors,
        array_agg(p.content order by p.version) filter (where p.type = 'Completed') as results
    from page p
    group by p.job_id
) g
