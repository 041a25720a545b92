-- For each reader that is behind the log's head: the type of the event that it comes to next; null if there is none at that place.
select r.name, e.type
from (
    select name, position from checkpoints
    union all
    select 'dispatcher', relayed_position from dispatcher_lease
) r
left join events e on e.position = r.position + 1
where r.position < coalesce((select position from events order by position desc limit 1), 0)
