-- What `stats` holds, and what the log says from position %(after)s, exclusive, up to where `stats` is: added to what was counted up to
-- %(after)s, the latter has to be the former. One snapshot, so it does not matter that `stats` goes on; and short where %(after)s is near.
--
-- Each row tells where `stats` is (at the head if its checkpoint is missing or beyond it), the second of the epoch in which the log was
-- there, whether the amount is one of `stats`, and the amount; one is the number of events that the log has from %(after)s on.
with span as materialized (
    select %(after)s::bigint as after, greatest(0, least(c.position, h.head)) as upto
    from (select coalesce(max(e.position), 0) as head from events e) h
    left join checkpoints c on c.name = 'stats'
),
touched as materialized (
    -- part: stats_touched
),
others as materialized (
    -- part: stats_others
),
moment as materialized (
    select s.upto,
           coalesce((
               select floor(date_part('epoch', e.recorded_at))::bigint from events e
               where e.position <= s.upto order by e.position desc limit 1
           ), 0) as second
    from span s
),
amounts as (
    select true as is_held, measure, type, priority, width, start, bucket, amount from stats
    union all
    select false, a.* from (
        -- part: stats_amounts
        union all
        -- part: stats_events
    ) a
)
select m.upto, m.second, k.is_held, k.measure, k.type, k.priority, k.width, k.start, k.bucket, k.amount
from moment m
cross join lateral (
    select * from amounts cross join (select m.second) s
    where
        -- part: stats_kept
) k
