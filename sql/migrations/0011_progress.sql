-- How far running attempts are, as their code said last: no facts, so no events, and gone when the attempt is over. Workers show
-- it, readers hold it against the attempt that runs by the log.
--
-- Serves releases from 0003 on.

-- Unlogged: it is worth neither a write-ahead log nor a wait for the disk. After a crash of the server it is empty, and fills again.
create unlogged table progress (
    job_id uuid primary key,
    attempt int not null check (attempt > 0),
    fraction double precision not null check (fraction between 0 and 1),
    note text not null check (length(note) <= 200),
    reported_at timestamptz not null
) with (fillfactor = 50); -- each row is written again and again, and should stay on its page
