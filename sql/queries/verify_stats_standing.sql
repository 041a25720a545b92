-- Where the log's head and the checkpoint of `stats` are (null: there is none), and the second of the epoch in which the log was where
-- `stats` is, or at its head if that is before it. One snapshot.
select h.head, c.position,
       coalesce((
           select floor(date_part('epoch', e.recorded_at))::bigint from events e
           where e.position <= least(c.position, h.head) order by e.position desc limit 1
       ), 0)
from (select coalesce(max(e.position), 0) as head from events e) h
left join checkpoints c on c.name = 'stats'
