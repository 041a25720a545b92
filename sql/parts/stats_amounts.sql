-- What the events of `span` add to `stats`, made of `touched` and `others`. Every amount is a sum of what single events say, each in view of
-- the event of its job before it, so an amount of two spans is the sum of theirs. CancelRequested says nothing: the job is processing before
-- it and after.
--
-- A Created needs no look at anything else. Most other jobs are plain: of them the span holds a Started and perhaps the Completed after it, so
-- what has to be looked up is the Created or Queued directly before; and they are counted together where type, priority, seconds and buckets
-- are the same. All others are gone through event by event.
select m.measure, g.words ->> 'type' as type, g.words ->> 'priority' as priority, m.width, m.start, m.bucket,
       sum(m.amount * g.events)::bigint as amount
from (
    select
        d.measure, d.state, d.state_before, d.took, d.bucket, d.events,
        d.words::json as words,
        date_part('epoch', d.second)::bigint as second,
        date_part('epoch', d.second_before)::bigint as second_before
    from (
        select
            t.words, t.events::bigint as events, 'Created' as measure, t.state, null as state_before, null as took, null::int as bucket,
            t.second, null::timestamptz as second_before
        from touched t
        where t.job_id is null
        union all
        select p.words, p.events, e.*
        from (
            select
                case
                    when b.data like '{"type":"%%","priority":"%%","attempt":%%' then split_part(b.data, ',"attempt":', 1) || '}'
                    else b.data
                end as words,
                -- data of a Queued never has these
                case
                    when (strpos(b.data, '"delay":') > 0 or strpos(b.data, '"runAt":') > 0)
                        and coalesce(b.data::json ->> 'delay', b.data::json ->> 'runAt') is not null
                    then 'waiting'
                    else 'queued'
                end as state_before,
                date_bin('1 second', b.at, 'epoch') as queued,
                date_bin('1 second', t.started_at, 'epoch') as started,
                date_bin('1 second', t.completed_at, 'epoch') as completed,
                -- An eighth of an octave of milliseconds each; what takes less than one millisecond is in the first.
                floor(8 / ln(2::float8) * ln(greatest(1, 1000 * date_part('epoch', t.started_at - b.at))))::int as wait,
                floor(8 / ln(2::float8) * ln(greatest(1, 1000 * date_part('epoch', t.completed_at - t.started_at))))::int as run,
                count(*) as events
            from touched t
            cross join lateral (
                select x.data::text as data, x.recorded_at as at from events x
                where x.job_id = t.job_id and x.version = t.first - 1
                offset 0
            ) b
            where t.job_id is not null and t.is_plain and t.started_at is not null
            group by 1, 2, 3, 4, 5, 6, 7
        ) p
        cross join lateral (
            values
                ('Started', 'processing', p.state_before, 'wait', p.wait, p.started, p.queued),
                ('Completed', 'completed', 'processing', 'run', p.run, p.completed, p.started)
        ) e (measure, state, state_before, took, bucket, second, second_before)
        where e.second is not null
        union all
        select
            case
                when w.data like '{"type":"%%","priority":"%%","attempt":%%' then split_part(w.data, ',"attempt":', 1) || '}'
                else w.data
            end,
            count(*), w.type, w.state, w.state_before,
            case when w.state = 'processing' then 'wait' when w.state_before = 'processing' then 'run' end,
            case when 'processing' in (w.state, w.state_before) then
                floor(8 / ln(2::float8) * ln(greatest(1, 1000 * date_part('epoch', w.at - w.at_before))))::int
            end,
            date_bin('1 second', w.at, 'epoch'),
            date_bin('1 second', w.at_before, 'epoch')
        from (
            select
                a.type, a.at, a.is_counted, a.state,
                max(a.data::text) filter (where a.type in ('Created', 'Queued')) over (partition by a.job_id) as data,
                lag(a.state) over (partition by a.job_id order by a.version) as state_before,
                lag(a.at) over (partition by a.job_id order by a.version) as at_before
            from (
                select
                    o.*,
                    case o.type
                        when 'Started' then 'processing'
                        when 'Attempted' then 'waiting'
                        when 'Completed' then 'completed'
                        when 'Failed' then 'failed'
                        when 'Cancelled' then 'cancelled'
                        when 'Queued' then 'queued'
                        when 'Created' then
                            case when coalesce(o.data ->> 'delay', o.data ->> 'runAt') is null then 'queued' else 'waiting' end
                    end as state
                from others o
                where o.type <> 'CancelRequested'
            ) a
        ) w
        where w.is_counted and w.type <> 'Created'
        group by 1, 3, 4, 5, 6, 7, 8, 9
    ) d
) g
cross join lateral (
    values
        (g.state, 0, 0::bigint, 0, 1),
        (g.state_before, 0, 0, 0, -1),
        (case when g.state = 'queued' then 'since' end, 0, g.second, 0, 1),
        (case when g.state_before = 'queued' then 'since' end, 0, g.second_before, 0, -1),
        (g.measure, 10, g.second - g.second %% 10, 0, 1),
        (g.measure, 300, g.second - g.second %% 300, 0, 1),
        (g.took, 10, g.second - g.second %% 10, g.bucket, 1),
        (g.took, 300, g.second - g.second %% 300, g.bucket, 1)
) m (measure, width, start, bucket, amount)
where m.measure is not null
group by 1, 2, 3, 4, 5, 6
having sum(m.amount * g.events) <> 0
