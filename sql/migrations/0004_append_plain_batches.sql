-- append_events as before (0002 says what it takes and answers), at less than half the cost for the batches that workers send.
--
-- Most batches are plain: one event a command, no job twice, no key twice. In these nothing depends on a neighbour, so the windows,
-- and the sorts that they take, are left to the others. And what a worker needs to run what it starts is mostly the very event that
-- the new one is compared with.
--
-- Serves releases from 0003 on.
create or replace function append_events(
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
    is_plain boolean;
    head bigint;
    now_ms timestamptz;
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'append_events needs READ COMMITTED, not %', current_setting('transaction_isolation')
            using errcode = 'invalid_transaction_state';
    end if;

    select count(*) = count(distinct w.command)
           and count(*) = count(distinct w.job_id)
           and count(w.key) = count(distinct (w.actor, w.key)) filter (where w.key is not null)
    into is_plain
    from unnest(command_ids, job_ids, actors, keys) as w (command, job_id, actor, key);

    perform pg_advisory_xact_lock(7310592051);  -- any constant that nobody else in this database uses

    select e.position, e.recorded_at into head, now_ms from events e order by e.position desc limit 1;
    head := coalesce(head, 0);
    -- greatest() passes over null: an empty log has no time that could fall.
    now_ms := greatest(date_trunc('milliseconds', clock_timestamp()), now_ms);

    return query
    with wanted as (
        select w.*,
               true as leads,
               null::int as neighbour_version,
               null::text as neighbour_type,
               false as late,
               w.job_id as key_job_id,
               w.digest as key_digest
        from unnest(command_ids, job_ids, versions, types, datas, contents, actors, keys, digests)
            with ordinality as w (command, job_id, version, type, data, content, actor, key, digest, n)
        where is_plain
        union all
        select w.*,
               w.command is distinct from lag(w.command) over (order by w.n) as leads,
               lag(w.version) over (order by w.n) as neighbour_version,
               lag(w.type) over (order by w.n) as neighbour_type,
               -- of several commands on one job, or with one key, in this batch only the first is heard
               min(w.command) over (partition by w.job_id) < w.command as late,
               first_value(w.job_id) over (partition by w.actor, w.key order by w.n) as key_job_id,
               first_value(w.digest) over (partition by w.actor, w.key order by w.n) as key_digest
        from unnest(command_ids, job_ids, versions, types, datas, contents, actors, keys, digests)
            with ordinality as w (command, job_id, version, type, data, content, actor, key, digest, n)
        where not is_plain
    ),
    judged as materialized (
        select w.*,
               l.version as last_version, l.type as last_type, l.data as last_data, l.content as last_content,
               l.position as last_position, l.recorded_at as last_at,
               coalesce(k.job_id, w.key_job_id) as owner_job_id,
               coalesce(k.body_digest, w.key_digest) as owner_digest,
               w.key is not null and (k.job_id is not null or w.key_job_id <> w.job_id) as repeats,
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
            select e.version, e.type, e.data, e.content, e.position, e.recorded_at
            from events e where w.leads and e.job_id = w.job_id
            order by e.version desc limit 1
        ) l on true
        left join lateral (
            select i.job_id, i.body_digest from idempotency_keys i
            where w.key is not null and i.actor = w.actor and i.key = w.key
        ) k on true
    ),
    decided as (
        select j.*, j.fits and not j.repeats and not j.is_refused as accepted,
               j.repeats as command_repeats, j.fits as command_fits
        from judged j where is_plain
        union all
        select j.*,
               bool_and(j.fits and not j.repeats and not j.is_refused) over (partition by j.command) as accepted,
               bool_or(j.repeats) over (partition by j.command) as command_repeats,
               bool_and(j.fits) over (partition by j.command) as command_fits
        from judged j where not is_plain
    ),
    numbered as materialized (
        select d.*,
               case when d.accepted then
                   head + count(*) filter (where d.accepted) over (order by d.n rows unbounded preceding)
               end as position
        from decided d
    ),
    inserted as (
        insert into events (position, job_id, version, type, data, content, actor, recorded_at)
        select n.position, n.job_id, n.version, n.type, n.data::json, n.content::json, n.actor, now_ms
        from numbered n where n.accepted
    ),
    remembered as (
        insert into idempotency_keys (actor, key, body_digest, job_id, created_at)
        select n.actor, n.key, n.digest, n.job_id, now_ms from numbered n where n.accepted and n.key is not null
    )
    select n.command,
           case when n.accepted then 'appended' when n.command_repeats then 'repeated'
                when not n.command_fits then 'conflict' else 'refused' end,
           coalesce(n.position, f.position),
           coalesce(case when n.accepted then now_ms end, f.recorded_at),
           f.type, f.data::text, f.actor,
           n.last_version, n.last_type,
           case when n.command_repeats then n.owner_job_id::text end,
           case when n.command_repeats then n.owner_digest end,
           c.data::text, c.position, c.recorded_at, c.content::text,
           q.data::text, q.position
    from numbered n
    left join lateral (
        select e.position, e.recorded_at, e.type, e.data, e.actor
        from events e where not n.accepted and e.job_id = n.job_id and e.version = n.version
    ) f on true
    -- For a Started: what its job was created with, and the Queued right before it, if there is one. The newest event is at hand.
    left join lateral (
        select n.last_data as data, n.last_position as position, n.last_at as recorded_at, n.last_content as content
        where n.type = 'Started' and n.last_version = 1
        union all
        select e.data, e.position, e.recorded_at, e.content
        from events e where n.type = 'Started' and n.last_version > 1 and e.job_id = n.job_id and e.version = 1
    ) c on true
    left join lateral (
        select n.last_data as data, n.last_position as position
        where n.type = 'Started' and n.version > 2 and n.last_version = n.version - 1
        union all
        select e.data, e.position
        from events e
        where n.type = 'Started' and n.version > 2 and n.last_version <> n.version - 1
          and e.job_id = n.job_id and e.version = n.version - 1
    ) q on true
    where n.leads
    order by n.n;
end
$$;
