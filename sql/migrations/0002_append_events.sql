-- The one way into the log.
--
-- Arrays, one element an event; events of one command stand side by side, share `command_ids`, belong to one job and stand or
-- fall together. The key arrays may be empty. Answers one row a command, in their order:
--   appended   position and recorded_at of its first event
--   conflict   the log is elsewhere: found_* is the event at the version that was wanted (if any), last_* the newest
--   repeated   its idempotency key has been used: found_job_id and found_digest say by whom and for what
--   refused    Started by a worker that has no row (any more)
-- A command with a Started also gets created_*, payload and queued_data: all that running the attempt takes.
--
-- Safe because: the lock makes writers take turns, and a volatile function under READ COMMITTED takes a fresh snapshot for each
-- statement, so the head that is read after the lock is the head that the last holder committed.
create function append_events(
    command_ids int[],
    job_ids uuid[],
    versions int[],
    types text[],
    datas text[],
    contents text[],
    actors text[],
    keys text[],
    digests bytea[]
) returns table (
    command int,
    outcome text,
    "position" bigint,
    recorded_at timestamptz,
    found_type text,
    found_data text,
    found_actor text,
    last_version int,
    last_type text,
    found_job_id text,
    found_digest bytea,
    created_data text,
    created_position bigint,
    created_at timestamptz,
    payload text,
    queued_data text,
    queued_position bigint
)
language plpgsql volatile
security definer
set search_path from current
set lock_timeout = '5s'
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    head bigint;
    now_ms timestamptz;
    -- What a worker needs to run what it starts; immutable, so it is fetched before the lock is taken.
    granted_n bigint[] := '{}';
    granted_created text[];
    granted_created_position bigint[];
    granted_created_at timestamptz[];
    granted_payload text[];
    granted_queued text[];
    granted_queued_position bigint[];
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'append_events needs READ COMMITTED, not %', current_setting('transaction_isolation')
            using errcode = 'invalid_transaction_state';
    end if;

    if 'Started' = any (types) then
        select array_agg(s.n), array_agg(c.data::text), array_agg(c.position), array_agg(c.recorded_at),
               array_agg(c.content::text), array_agg(q.data::text), array_agg(q.position)
        into granted_n, granted_created, granted_created_position, granted_created_at,
             granted_payload, granted_queued, granted_queued_position
        from unnest(job_ids, versions, types) with ordinality as s (job_id, version, type, n)
        join events c on c.job_id = s.job_id and c.version = 1
        left join events q on q.job_id = s.job_id and q.version = s.version - 1 and q.version > 1
        where s.type = 'Started';
    end if;

    perform pg_advisory_xact_lock(7310592051);  -- any constant that nobody else in this database uses

    select e.position, e.recorded_at into head, now_ms from events e order by e.position desc limit 1;
    head := coalesce(head, 0);
    -- greatest() passes over null: an empty log has no time that could fall.
    now_ms := greatest(date_trunc('milliseconds', clock_timestamp()), now_ms);

    return query
    with wanted as materialized (
        select w.*,
               w.command is distinct from lag(w.command) over (order by w.n) as leads,
               lag(w.version) over (order by w.n) as neighbour_version,
               lag(w.type) over (order by w.n) as neighbour_type,
               -- of several commands on one job, or with one key, in this batch only the first is heard
               min(w.command) over (partition by w.job_id) < w.command as late,
               case when w.key is not null
                   then first_value(w.job_id) over (partition by w.actor, w.key order by w.n) end as key_job_id,
               case when w.key is not null
                   then first_value(w.digest) over (partition by w.actor, w.key order by w.n) end as key_digest
        from unnest(command_ids, job_ids, versions, types, datas, contents, actors, keys, digests)
            with ordinality as w (command, job_id, version, type, data, content, actor, key, digest, n)
    ),
    judged as materialized (
        select w.*, l.version as last_version, l.type as last_type,
               coalesce(k.job_id, w.key_job_id) as owner_job_id,
               coalesce(k.body_digest, w.key_digest) as owner_digest,
               w.key is not null and (k.key is not null or w.key_job_id <> w.job_id) as repeats,
               w.type = 'Started' and not exists (select from workers where workers.id = w.actor) as is_refused,
               not w.late
                   and w.version = case when w.leads then coalesce(l.version, 0) else w.neighbour_version end + 1
                   and exists (
                       select from transitions t
                       where t.before = case when w.leads then coalesce(l.type, '') else w.neighbour_type end
                         and t.after = w.type
                   ) as fits
        from wanted w
        left join lateral (
            select e.version, e.type from events e where e.job_id = w.job_id order by e.version desc limit 1
        ) l on w.leads
        left join idempotency_keys k on k.actor = w.actor and k.key = w.key
    ),
    decided as materialized (
        select j.*,
               bool_and(j.fits and not j.repeats and not j.is_refused) over (partition by j.command) as accepted,
               bool_or(j.repeats) over (partition by j.command) as command_repeats,
               bool_and(j.fits) over (partition by j.command) as command_fits
        from judged j
    ),
    numbered as materialized (
        select d.command, d.n, d.job_id, d.version, d.type, d.data, d.content, d.actor, d.key, d.digest,
               head + row_number() over (order by d.n) as position
        from decided d where d.accepted
    ),
    inserted as (
        insert into events (position, job_id, version, type, data, content, actor, recorded_at)
        select n.position, n.job_id, n.version, n.type, n.data::json, n.content::json, n.actor, now_ms
        from numbered n
    ),
    remembered as (
        insert into idempotency_keys (actor, key, body_digest, job_id, created_at)
        select n.actor, n.key, n.digest, n.job_id, now_ms from numbered n where n.key is not null
    )
    select d.command,
           case when d.accepted then 'appended' when d.command_repeats then 'repeated'
                when not d.command_fits then 'conflict' else 'refused' end,
           coalesce(n.position, f.position),
           coalesce(case when d.accepted then now_ms end, f.recorded_at),
           f.type, f.data::text, f.actor,
           d.last_version, d.last_type,
           case when d.command_repeats then d.owner_job_id::text end,
           case when d.command_repeats then d.owner_digest end,
           g.created_data, g.created_position, g.created_at, g.payload, g.queued_data, g.queued_position
    from decided d
    left join numbered n on n.n = d.n
    left join events f on not d.accepted and f.job_id = d.job_id and f.version = d.version
    left join unnest(granted_n, granted_created, granted_created_position, granted_created_at,
                     granted_payload, granted_queued, granted_queued_position)
        as g (n, created_data, created_position, created_at, payload, queued_data, queued_position) on g.n = d.n
    where d.leads
    order by d.n;
end
$$;
