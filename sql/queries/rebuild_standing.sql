-- Where the log's head, `jobs` and the table that is to replace it are. Null: there is no such checkpoint.
select
    coalesce((select e.position from events e order by e.position desc limit 1), 0),
    (select c.position from checkpoints c where c.name = 'jobs'),
    (select c.position from checkpoints c where c.name = 'jobs_next')
