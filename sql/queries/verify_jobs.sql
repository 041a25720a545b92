-- Which events of a range of jobs break a rule of one job's stream (S1 to S4, A1 to A7)? One row an event that breaks any, with
-- the names of all that it breaks and the facts that say why; most ranges answer no row.
-- Safe on a live system: one statement, one snapshot, and only events at or below a position that was the head before, so every
-- job's history up to there is complete. The order of the primary key serves all windows; nothing is aggregated, so memory is
-- bounded by the range.
--
-- Names: `…1` and `…2` are of the event before and of the one before that. `starts`: attempts begun so far; `counted`: those of this
-- life that count, recounted here and believed from nobody.
select
    job_id::text, version, position, type,
    array_remove(array[
        case when s1 then 'S1' end, case when s2 then 'S2' end, case when s3 then 'S3' end, case when s4 then 'S4' end,
        case when a1 then 'A1' end, case when a2 then 'A2' end, case when a3 then 'A3' end, case when a4 then 'A4' end,
        case when a5 then 'A5' end, case when a6 then 'A6' end, case when a7 then 'A7' end
    ], null) as broken,
    json_build_object(
        'place', place, 'type1', coalesce(type1, ''), 'position1', position1,
        'attempt', data ->> 'attempt', 'worker', data ->> 'worker', 'starts', starts,
        'startedAttempt', started ->> 'attempt', 'startedWorker', started ->> 'worker',
        'used', data ->> 'used', 'counted', counted, 'maximum', maximum,
        'recordedAt', recorded_at, 'due', due,
        'outcome', data ->> 'outcome', 'wait', data ->> 'retryAfter', 'policyWait', policy_wait
    )::text as facts
from (
    select
        judged.*,
        version <> place or coalesce(position1 >= position, false) as s1,
        (place = 1) <> (type = 'Created') as s2,
        coalesce(type1, '') || '>' || type <> all (%(legal)s::text[]) as s3,
        case
            when type1 = 'Completed' then true
            when type1 in ('Failed', 'Cancelled') then type <> 'Queued' or (data ->> 'used') is distinct from '0'
            else false
        end as s4,
        case
            when type = 'Started' then (data ->> 'attempt')::int is distinct from starts
            when type in ('Created', 'Queued') then (data ->> 'attempt')::int is distinct from starts + 1
            else false
        end as a1,
        case
            -- the same text says the same; most attempts end like that, and nothing has to be parsed
            when type not in ('Completed', 'Failed', 'Attempted', 'Cancelled') or data::text = started::text then false
            else (data ->> 'attempt', data ->> 'worker') is distinct from (started ->> 'attempt', started ->> 'worker')
                or (started is null and data ->> 'outcome' is not null)
        end as a2,
        case
            when type = 'Started' and type1 in ('Created', 'Queued') then coalesce(counted > maximum, true)
            when type in ('Created', 'Queued', 'Attempted') then (data ->> 'used')::int is distinct from counted
            else false
        end as a3,
        coalesce(recorded_at < due, false) as a4,
        case
            when type = 'Attempted' and data ->> 'outcome' <> 'released' then coalesce(counted >= maximum, false)
            when type = 'Failed' and (data ->> 'permanent') is distinct from 'true' then coalesce(counted < maximum, false)
            else false
        end as a5,
        coalesce(type1 = 'CancelRequested' and type not in ('Completed', 'Cancelled'), false) as a6,
        case
            when type <> 'Attempted' then false
            when data ->> 'outcome' = 'released' then (data ->> 'retryAfter')::float8 is distinct from 0
            -- the policy's waits are rounded to the millisecond
            when abs((data ->> 'retryAfter')::float8 - policy_wait) < 0.001 then false
            -- what the code of a job type has asked for stands nowhere else: only its bounds can be judged
            when data ->> 'outcome' in ('error', 'timeout') and not %(policy_waits_only)s then
                (data ->> 'retryAfter')::float8 not between 0 and %(longest_asked)s
                or abs((data ->> 'retryAfter')::float8 * 1000 - round((data ->> 'retryAfter')::float8 * 1000)) > 0.0001
            else true
        end as a7
    from (
        select
            counts.*,
            starts - releases - coalesce(max(case when begins_life then starts - releases end) over jobs, 0) as counted,
            case
                when type1 = 'Started' then data1
                when type1 = 'CancelRequested' and type2 = 'Started' then data2
            end as started,
            -- the maximum in force is said by the event that queued the attempt
            case
                when type = 'Started' and type1 in ('Created', 'Queued') then (data1 ->> 'maxAttempts')::int
                when type in ('Attempted', 'Failed') and type1 = 'Started' and type2 in ('Created', 'Queued')
                    then (data2 ->> 'maxAttempts')::int
            end as maximum,
            case when type = 'Started' then
                case
                    when type1 = 'Created' then coalesce(
                        recorded_at1 + make_interval(secs => (data1 ->> 'delay')::float8), (data1 ->> 'runAt')::timestamptz)
                    when type1 = 'Queued' and type2 = 'Attempted' then
                        recorded_at2 + make_interval(secs => (data2 ->> 'retryAfter')::float8)
                    when type1 = 'Queued' and type2 = 'Created' then coalesce(
                        recorded_at2 + make_interval(secs => (data2 ->> 'delay')::float8), (data2 ->> 'runAt')::timestamptz)
                end
            end as due,
            case when type = 'Attempted' then
                least(%(cap)s::float8,
                      %(base)s::float8 * 2.0::float8 ^ least(greatest((data ->> 'used')::int - 1, 0), 64)::float8)
            end as policy_wait
        from (
            select
                job_id, version, position, type, data, recorded_at,
                row_number() over jobs as place,
                lag(type) over jobs as type1, lag(type, 2) over jobs as type2,
                lag(data) over jobs as data1, lag(data, 2) over jobs as data2,
                lag(position) over jobs as position1,
                lag(recorded_at) over jobs as recorded_at1, lag(recorded_at, 2) over jobs as recorded_at2,
                type = 'Queued' and coalesce(lag(type) over jobs in ('Completed', 'Failed', 'Cancelled'), false) as begins_life,
                count(*) filter (where type = 'Started') over jobs as starts,
                count(*) filter (where type = 'Attempted' and data ->> 'outcome' = 'released') over jobs as releases
            from events
            where (%(after)s::uuid is null or job_id > %(after)s::uuid) and job_id <= %(last)s::uuid
              and (%(ids)s::uuid[] is null or job_id = any (%(ids)s::uuid[]))
              and job_id <> all (%(unreadable)s::uuid[])
              and position + 0 <= %(upto)s  -- + 0: by the ids, never by the index on positions
            window jobs as (partition by job_id order by version rows unbounded preceding)
        ) counts
        window jobs as (partition by job_id order by version rows unbounded preceding)
        offset 0  -- each value is reckoned once
    ) judged
    offset 0
) broken
where (s1 or s2 or s3 or s4 or a1 or a2 or a3 or a4 or a5 or a6 or a7) and position >= %(first)s
