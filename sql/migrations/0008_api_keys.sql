-- Who may use the API. Keys are no facts about jobs, so they are no events; but their names are the actors of events.
--
-- API processes of older releases know no keys, and let everyone in: make the first key when all are of this one.
-- Serves releases from 0007 on.

create table api_keys (
    name text primary key check (name ~ '^[a-z0-9][a-z0-9._-]{0,63}$' and name not in ('anonymous', 'operator')),
    scope text not null check (scope in ('read', 'submit', 'operate')),
    digest bytea not null unique check (length(digest) = 32),
    created_at timestamptz not null default date_trunc('milliseconds', clock_timestamp()),
    created_by text not null,
    revoked_at timestamptz,
    revoked_by text,
    last_used_at timestamptz,
    check ((revoked_at is null) = (revoked_by is null))
);
comment on column api_keys.digest is 'SHA-256 of the token, which is kept nowhere.';

-- A name means one key for ever, as the log's events carry it; and where no key was ever made, the API is open to everyone.
create function api_keys_stay() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' then
        if old.revoked_at is null
            and (new.name, new.scope, new.digest, new.created_at, new.created_by)
                is not distinct from (old.name, old.scope, old.digest, old.created_at, old.created_by)
        then
            return new;
        end if;
    end if;
    raise exception 'API keys are revoked, never removed, changed or given back: % refused', tg_op
        using errcode = 'object_not_in_prerequisite_state';
end
$$;

create trigger stay_rows before update or delete on api_keys for each row execute function api_keys_stay();
create trigger stay_table before truncate on api_keys for each statement execute function api_keys_stay();
alter table api_keys enable always trigger stay_rows;
alter table api_keys enable always trigger stay_table;
