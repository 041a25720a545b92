-- Deletes from `stats` what is too old to be asked for, and rows that have come to nothing.
--
-- How old a slot is, the log's own time says: it never falls, so nothing is added to a slot that is deleted here. The checkpoint is
-- locked as by the fold, so the two never meet in these rows; whoever does not get it leaves the work to the next.
with checkpoint as materialized (
    select c.position from checkpoints c where c.name = 'stats' for update skip locked
),
read as materialized (
    select floor(date_part('epoch', e.recorded_at))::bigint as second
    from checkpoint c
    join events e on e.position = c.position
)
delete from stats
using read
where (width = 0 and amount = 0)
   or not
    -- part: stats_kept
