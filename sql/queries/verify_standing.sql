-- Where the log's head is, and how far the read table and the dispatcher have come; one snapshot. Also the positions below the first.
select
    coalesce((select e.position from events e order by e.position desc limit 1), 0),
    (select c.position from checkpoints c where c.name = 'jobs'),
    (select l.relayed_position from dispatcher_lease l),
    array(select e.position from events e where e.position < 1 order by e.position limit 20)
