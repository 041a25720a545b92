-- One page of the log, from position `first` to `last`: how many events, their digest, and which of them break the order of the log.
-- Safe on a live system: `last` was at or below the head before, and nothing at or below the head ever changes but `content` to null;
-- so `content` is not in the digest, and the digest of a page is the same whenever it is taken.
--
-- The digest is SHA-256 over the page's events in order. Of each: position (8 bytes), job id (16), version (4), recorded_at (8,
-- microseconds since 2000-01-01 UTC), then type, actor and data, each as its length in bytes (4) and its UTF-8 text. Numbers are
-- signed and big-endian.
select
    count(*),
    coalesce(max(position), %(first)s - 1),
    sha256(coalesce(string_agg(
        int8send(position) || uuid_send(job_id) || int4send(version) || timestamptz_send(recorded_at)
        || int4send(octet_length(type)) || textsend(type)
        || int4send(octet_length(actor)) || textsend(actor)
        || int4send(octet_length(data::text)) || json_send(data),
        ''::bytea order by position
    ), ''::bytea)),
    -- whether any attempt of this page may have been given up as lost: `data` is not parsed for it
    coalesce(bool_or(type in ('Attempted', 'Failed', 'Cancelled') and data::text like '%%"lost"%%'), false),
    json_agg(json_build_object(
        'jobId', job_id, 'version', version, 'position', position, 'positionBefore', position_before,
        'recordedAt', recorded_at, 'recordedBefore', recorded_before
    )) filter (where position <> position_before + 1 or recorded_at < recorded_before)::text
from (
    select
        position, job_id, version, type, data, actor, recorded_at,
        -- Where the page before lacks its last event, that page says so.
        coalesce(lag(position) over log, %(first)s - 1) as position_before,
        lag(recorded_at) over log as recorded_before
    from events
    where position >= %(first)s - 1 and position <= %(last)s
    window log as (order by position)
) page
where position >= %(first)s
