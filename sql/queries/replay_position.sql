-- The last position up to a given one whose event was recorded at a time or before. recorded_at never falls along the log, so
-- halving finds it: one lookup by position for each step, 63 at the most, and no index on recorded_at.
-- Answers the bounds where the search ended; they differ where it met a position without an event: the log has a gap.
with recursive search (low, high) as (
    select 0::bigint, %(head)s::bigint
    union all
    select
        case when e.recorded_at <= %(time)s then e.position else s.low end,
        case when e.recorded_at <= %(time)s then s.high else e.position - 1 end
    from search s
    cross join lateral (
        select position, recorded_at from events where position = s.low + (s.high - s.low + 1) / 2 limit 1
    ) e
    where s.low < s.high
)
select low, high from search order by high - low limit 1
