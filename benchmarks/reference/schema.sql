-- The reference's one table: a row a job, brought up to date at each change of its status.
--
-- At its best: ids in order of time (no random pages of the index), `json` (jsonb would have to be parsed into), room in each page
-- and no index beside the primary key, so that every update stays within its page (HOT).
create table jobs (
    id uuid primary key default uuidv7(),
    type text not null,
    priority text not null check (priority in ('high', 'default')),
    payload json not null,
    status text not null default 'pending' check (status in ('pending', 'processing', 'completed', 'failed')),
    attempts int not null default 0,
    result json,
    error text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
) with (fillfactor = 60);
