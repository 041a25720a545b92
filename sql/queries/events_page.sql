-- The next events after a position, in order, each with its job's type; beside them the log's head. There is always a row.
-- Safe because one statement sees one snapshot, in which positions have no gap. Large contents end a page early: their sizes are
-- looked at, as they are stored, without reading them.
select h.position, e.position, e.job_id::text, e.version, e.type, e.data::text, e.content::text, e.actor, e.recorded_at,
       c.data ->> 'type'
from (select coalesce((select position from events order by position desc limit 1), 0) as position) h
left join lateral (
    select n.*, sum(coalesce(pg_column_size(n.content), 0)) over (order by n.position) as size,
           row_number() over (order by n.position) as place
    from (
        select * from events
        where position > %(after)s
        order by position
        limit %(limit)s
    ) n
) e on e.size <= %(bytes)s or e.place = 1
left join events c on c.job_id = e.job_id and c.version = 1
order by e.position
