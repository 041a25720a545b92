-- append_events as before (0002 says what it takes and answers), in a simpler way for a few commands, as most appends of a service
-- that is not busy have: the one statement that serves a thousand costs some hundred microseconds to begin with. Up to some dozens,
-- small statements one after another are cheaper, each a search by key.
--
-- What was append_events so far is append_many now. Both give the same answers.
--
-- Serves releases from 0003 on.
alter function append_events(int[], uuid[], int[], text[], text[], text[], text[], text[], bytea[]) rename to append_many;
revoke execute on function append_many(int[], uuid[], int[], text[], text[], text[], text[], text[], bytea[]) from public;

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
    few constant int := 40;
    is_plain boolean := cardinality(command_ids) = 1;
    head bigint;
    now_ms timestamptz;
    last record;     -- the job's newest event
    owner record;    -- whose the idempotency key is
    found record;    -- the event at the version that was wanted
    fits boolean;
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'append_events needs READ COMMITTED, not %', current_setting('transaction_isolation')
            using errcode = 'invalid_transaction_state';
    end if;

    -- Plain: one event a command, no job twice, no key twice. In these nothing depends on a neighbour.
    if cardinality(command_ids) between 2 and few then
        select count(*) = count(distinct w.command)
               and count(*) = count(distinct w.job_id)
               and count(w.key) = count(distinct (w.actor, w.key)) filter (where w.key is not null)
        into is_plain
        from unnest(command_ids, job_ids, actors, keys) as w (command, job_id, actor, key);
    end if;
    if not is_plain then
        return query select * from append_many(
            command_ids, job_ids, versions, types, datas, contents, actors, keys, digests
        );
        return;
    end if;

    perform pg_advisory_xact_lock(7310592051);  -- the lock of append_many

    select e.position, e.recorded_at into head, now_ms from events e order by e.position desc limit 1;
    head := coalesce(head, 0);
    -- greatest() passes over null: an empty log has no time that could fall.
    now_ms := greatest(date_trunc('milliseconds', clock_timestamp()), now_ms);

    for n in 1 .. cardinality(command_ids) loop
        select e.version, e.type, e.data::text as data, e.content::text as content, e.position, e.recorded_at
        into last
        from events e where e.job_id = job_ids[n]
        order by e.version desc limit 1;
        fits := versions[n] = coalesce(last.version, 0) + 1 and exists (
            select from transitions t where t.before = coalesce(last.type, '') and t.after = types[n]
        );
        -- An array without elements has null everywhere.
        owner := null;
        if keys[n] is not null then
            select i.job_id::text as job_id, i.body_digest into owner
            from idempotency_keys i where i.actor = actors[n] and i.key = keys[n];
        end if;

        command := command_ids[n];
        last_version := last.version;
        last_type := last.type;
        found_job_id := null;
        found_digest := null;
        case
            when owner is not null then
                outcome := 'repeated';
                found_job_id := owner.job_id;
                found_digest := owner.body_digest;
            when not fits then
                outcome := 'conflict';
            when types[n] = 'Started' and not exists (select from workers where workers.id = actors[n]) then
                outcome := 'refused';
            else
                outcome := 'appended';
        end case;
        if outcome = 'appended' then
            head := head + 1;
            insert into events (position, job_id, version, type, data, content, actor, recorded_at)
            values (head, job_ids[n], versions[n], types[n], datas[n]::json, contents[n]::json, actors[n], now_ms);
            if keys[n] is not null then
                insert into idempotency_keys (actor, key, body_digest, job_id, created_at)
                values (actors[n], keys[n], digests[n], job_ids[n], now_ms);
            end if;
            position := head;
            recorded_at := now_ms;
            found_type := null;
            found_data := null;
            found_actor := null;
        else
            select e.position, e.recorded_at, e.type, e.data::text as data, e.actor into found
            from events e where e.job_id = job_ids[n] and e.version = versions[n];
            position := found.position;
            recorded_at := found.recorded_at;
            found_type := found.type;
            found_data := found.data;
            found_actor := found.actor;
        end if;

        created_data := null;
        created_position := null;
        created_at := null;
        payload := null;
        queued_data := null;
        queued_position := null;
        if types[n] = 'Started' then
            -- What its job was created with, and the Queued right before it, if there is one. The newest event is at hand.
            if last.version = 1 then
                created_data := last.data;
                created_position := last.position;
                created_at := last.recorded_at;
                payload := last.content;
            else
                select e.data::text, e.position, e.recorded_at, e.content::text
                into created_data, created_position, created_at, payload
                from events e where e.job_id = job_ids[n] and e.version = 1;
            end if;
            if versions[n] > 2 then
                select e.data::text, e.position into queued_data, queued_position
                from events e where e.job_id = job_ids[n] and e.version = versions[n] - 1;
            end if;
        end if;
        return next;
    end loop;
end
$$;
