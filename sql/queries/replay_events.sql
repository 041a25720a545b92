-- The next events of the log from a position on, as they are stored: at most so many, and no more after the one with which their
-- contents reach so many bytes; so a page has a bounded size, and at least one event if there is any.
select position, job_id::text, version, type, data, content, actor, recorded_at
from (
    select
        p.*, sum(coalesce(octet_length(p.content), 0)) over (order by p.position) - coalesce(octet_length(p.content), 0) as before
    from (
        select position, job_id, version, type, data::text, content::text, actor, recorded_at
        from events
        where position between %(first)s and %(last)s
        order by position
        limit %(limit)s
    ) p
) sized
where before < %(bytes)s
order by position
