-- The log: what happened, in order, for ever. Everything else in this database is made from it.

create table log (
    id uuid not null default gen_random_uuid(),
    only_row boolean primary key default true check (only_row)
);
comment on table log is 'One row: who this log is. A queue that was made from another log is recognised by it.';
insert into log default values;

-- Which event type may follow which; '' stands for the empty stream. Filled from the domain's own table at each migrate.
create table transitions (
    before text not null,
    after text not null,
    primary key (before, after)
);

create table events (
    position bigint not null,
    job_id uuid not null,
    version int not null check (version > 0),
    type text not null,
    data json not null,
    content json,
    actor text not null,
    recorded_at timestamptz not null,
    primary key (job_id, version),
    unique (position)
);
comment on column events.position is 'Place in the whole log: 1, 2, 3 … without gaps, visible in this order.';
comment on column events.content is 'What may be personal (payload, result, error text). May be set to null, never otherwise changed.';

create function events_are_immutable() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' then
        if new.content is null
            and (new.position, new.job_id, new.version, new.type, new.data::text, new.actor, new.recorded_at)
                is not distinct from
                (old.position, old.job_id, old.version, old.type, old.data::text, old.actor, old.recorded_at)
        then
            return new;
        end if;
    end if;
    raise exception 'events are immutable: % refused', tg_op using errcode = 'object_not_in_prerequisite_state';
end
$$;

create trigger immutable_rows before update or delete on events
    for each row execute function events_are_immutable();
create trigger immutable_table before truncate on events
    for each statement execute function events_are_immutable();
-- ALWAYS: also where session_replication_role = replica switches ordinary triggers off.
alter table events enable always trigger immutable_rows;
alter table events enable always trigger immutable_table;

-- One key of one actor is one job; a row lives for a day, then it is swept.
create table idempotency_keys (
    actor text not null,
    key text not null,
    body_digest bytea not null,
    job_id uuid not null,
    created_at timestamptz not null,
    primary key (actor, key)
);
create index on idempotency_keys (created_at);

-- A live worker owns a row and raises its counter once a second. Only a worker with a row may start an attempt.
create table workers (
    id text primary key,
    counter bigint not null default 0,
    registered_at timestamptz not null default clock_timestamp()
);
alter table workers set (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
