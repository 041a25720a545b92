-- What went on in the last seconds: events by type, and how many seconds they are of. No more than the newest so many events are
-- looked at, however many the last seconds brought: then these are of less time.
select coalesce(json_object_agg(type, events), '{}'),
       case when sum(events) >= %(most)s
           then greatest(extract(epoch from clock_timestamp() - min(oldest)), 0.001)::float8
           else %(seconds)s::float8 end
from (
    select type, count(*) as events, min(recorded_at) as oldest
    from (
        select type, recorded_at from events
        order by position desc
        limit %(most)s
    ) newest
    where recorded_at > clock_timestamp() - make_interval(secs => %(seconds)s)
    group by type
) counted
