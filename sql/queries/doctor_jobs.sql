-- Jobs that may be stuck, as `jobs` has them: how many, and the one that has been so for longest. Each is found by a partial index
-- of what runs or waits.
select l.jobs, l.example, o.jobs, o.example, u.jobs, u.example
from (
    select count(*) as jobs, (array_agg(id::text order by updated_at))[1] as example
    from jobs where worker is not null and updated_at < clock_timestamp() - make_interval(secs => %(timeout)s + 60)
) l
cross join (
    select count(*) as jobs, (array_agg(id::text order by due_at))[1] as example
    from jobs where due_at is not null and due_at < clock_timestamp() - make_interval(secs => %(overdue)s)
) o
cross join (
    select count(*) as jobs, (array_agg(id::text order by updated_at))[1] as example
    from jobs
    where worker is not null and updated_at < clock_timestamp() - make_interval(secs => %(unclosed)s)
      and not exists (select from workers where workers.id = jobs.worker)
) u
