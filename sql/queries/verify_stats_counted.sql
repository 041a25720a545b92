-- What the log from position %(after)s, exclusive, up to %(upto)s adds to `stats`, but for slots that were too old in the second %(second)s;
-- and how many events that were.
with span as materialized (
    select %(after)s::bigint as after, %(upto)s::bigint as upto
),
touched as materialized (
    -- part: stats_touched
),
others as materialized (
    -- part: stats_others
)
select measure, type, priority, width, start, bucket, amount
from (
    -- part: stats_amounts
    union all
    -- part: stats_events
) a
cross join (select %(second)s::bigint as second) s
where
    -- part: stats_kept
