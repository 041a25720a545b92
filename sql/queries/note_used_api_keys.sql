-- For those who ask which keys are used at all. A revoked one is left as it is.
update api_keys set last_used_at = date_trunc('milliseconds', clock_timestamp())
where name = any (%(names)s) and revoked_at is null
