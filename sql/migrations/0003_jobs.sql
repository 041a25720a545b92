-- The read side: what queries ask. A projection: it can be thrown away and made again from the log.

create table jobs (
    id uuid primary key,
    version int not null,
    state text not null,
    status text not null generated always as (
        case state
            when 'Created' then 'pending'
            when 'Queued' then 'pending'
            when 'Attempted' then 'pending'
            when 'Started' then 'processing'
            when 'CancelRequested' then 'processing'
            when 'Completed' then 'completed'
            when 'Failed' then 'failed'
            when 'Cancelled' then 'cancelled'
        end
    ) stored,
    type text not null,
    priority text not null,
    attempts int not null,
    used int not null,
    max_attempts int not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    worker text,
    outcome text,
    result json,
    error json,
    due_at timestamptz,
    queued_position bigint
);
comment on column jobs.state is 'Type of the newest event.';
comment on column jobs.due_at is 'When its wait is over; null unless it waits.';
comment on column jobs.queued_position is 'Position of the event that queued it; null unless it is queued.';
-- A row changes about three times in its life, then never again.
alter table jobs set (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);

create index jobs_due on jobs (due_at) where due_at is not null;
create index jobs_queued on jobs (queued_position) where queued_position is not null;
create index jobs_running on jobs (worker) where worker is not null;

-- How far each projection of this database has read the log.
create table checkpoints (
    name text primary key,
    position bigint not null
);
alter table checkpoints set (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
insert into checkpoints values ('jobs', 0);

-- Who relays the log to the queue, until when (on this database's clock), and what it sees of Redis.
create table dispatcher_lease (
    only_row boolean primary key default true check (only_row),
    holder text,
    expires_at timestamptz not null default '-infinity',
    relayed_position bigint not null default 0,
    redis_state text not null default 'unknown',
    reported_at timestamptz not null default '-infinity'
);
alter table dispatcher_lease set (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
insert into dispatcher_lease default values;
