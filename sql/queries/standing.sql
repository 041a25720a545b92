-- How far is who, and what waits for longest? One statement, so one moment; each branch is a look at a few index entries, but for
-- `workers`, which has a row a live worker. Ages are seconds on this database's clock. A dispatcher knows better than its lease, which
-- is written once a second, how far it is: `relayed`.
with oldest as materialized (
    select 'high' as priority, updated_at from (
        select updated_at from jobs
        where queued_position is not null and priority = 'high' order by queued_position limit 1
    ) high
    union all
    -- Where nothing but a thousand of high priority is queued first, nobody asks for how long the others have waited: they wait.
    select 'default', updated_at from (
        select updated_at from (
            select priority, queued_position, updated_at from jobs
            where queued_position is not null order by queued_position limit 1000
        ) first where priority <> 'high' order by queued_position limit 1
    ) others
)
select
    h.position,
    (select json_object_agg(r.name, json_build_array(
                r.position, coalesce(extract(epoch from clock_timestamp() - e.recorded_at)::float8, 0)))
     from (
         select name, position from checkpoints
         union all
         select 'dispatcher', greatest(relayed_position, %(relayed)s) from dispatcher_lease
     ) r
     left join events e on e.position = r.position + 1),
    (select json_object_agg(priority, extract(epoch from clock_timestamp() - updated_at)::float8) from oldest),
    (select json_object_agg(claims_from, workers) from (
        select coalesce(claims_from, 'nowhere') as claims_from, count(*) as workers from workers group by 1
    ) w)
from (select coalesce((select position from events order by position desc limit 1), 0) as position) h
