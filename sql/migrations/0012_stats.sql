-- What GET /stats answers: counts made from the log. A projection of its own: it can be thrown away and made again, without `jobs`.
--
-- Serves releases from 0003 on.

-- Every amount is a sum of what single events say, so any part of it can be reckoned apart and added.
create table stats (
    measure text not null,
    type text not null,
    priority text not null,
    width int not null,
    start bigint not null,
    bucket int not null,
    amount bigint not null,
    primary key (measure, type, priority, width, start, bucket)
);
comment on table stats is 'How many jobs are in each state, since when they are queued, and what happened in the last hour.';
comment on column stats.measure is
    'A state (queued, waiting, processing, completed, failed, cancelled); since: queued in that second; an event type; wait, run: how long.';
comment on column stats.width is 'Seconds of the slot of time that it is about; 0: of now.';
comment on column stats.start is 'Where that slot begins, in seconds of the epoch; of `since`: the second.';
comment on column stats.bucket is 'Of wait and run: from 2 ^ (bucket / 8) milliseconds on; else 0.';
-- Few rows, which change all the time.
alter table stats set (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_threshold = 1000);
insert into checkpoints values ('stats', 0);
