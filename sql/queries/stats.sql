-- What `stats` holds now, and of the last 1, 5 and 60 minutes by the database's clock: rows of (measure, type, priority, span, bucket,
-- amount), each with the moment, the position that they were counted up to and the newest one. `span` is in seconds; 0: now. Of the
-- measure `since` the amount is the second of the epoch since when the oldest has been queued. A span begins with a whole slot.
--
-- The pairs of type and priority beyond the %(pairs)s with the most jobs are one, whose type and priority are null. Nothing here grows
-- with the number of jobs: the oldest is found by the key, and slots that are too old are deleted.
with moment as materialized (
    select clock_timestamp() as at, floor(date_part('epoch', clock_timestamp()))::bigint as second
),
states as materialized (
    select s.measure, s.type, s.priority, s.amount
    from stats s
    where s.measure in ('queued', 'waiting', 'processing', 'completed', 'failed', 'cancelled')
),
ranked as materialized (
    select p.type, p.priority,
           case when p.place <= %(pairs)s then p.type end as shown_type,
           case when p.place <= %(pairs)s then p.priority end as shown_priority
    from (
        select t.type, t.priority, row_number() over (order by sum(t.amount) desc, t.type, t.priority) as place
        from states t
        group by t.type, t.priority
    ) p
),
counted as (
    select t.measure, t.type, t.priority, 0 as span, 0 as bucket, t.amount from states t
    union all
    select s.measure, s.type, s.priority, w.span, s.bucket, s.amount
    from moment m
    cross join (values (60, 10), (300, 10), (3600, 300)) w (span, width)
    join stats s
        on s.measure in ('Created', 'Started', 'Attempted', 'Completed', 'Failed', 'Cancelled', 'wait', 'run')
        and s.width = w.width and s.start >= (m.second - w.span) / w.width * w.width
),
shown as (
    select c.measure, r.shown_type as type, r.shown_priority as priority, c.span, c.bucket, sum(c.amount)::bigint as amount
    from counted c
    join ranked r on r.type = c.type and r.priority = c.priority
    group by 1, 2, 3, 4, 5
    having sum(c.amount) <> 0
    union all
    select 'since', r.shown_type, r.shown_priority, 0, 0, min(o.start)
    from ranked r
    cross join lateral (
        select s.start from stats s
        where s.measure = 'since' and s.type = r.type and s.priority = r.priority and s.width = 0 and s.amount > 0
        order by s.start
        limit 1
    ) o
    group by r.shown_type, r.shown_priority
)
select m.at, k.position, greatest(k.position, (select coalesce(max(e.position), 0) from events e)),
       s.measure, s.type, s.priority, s.span, s.bucket, s.amount
from moment m
join checkpoints k on k.name = 'stats'
left join shown s on true
