-- Once: who was the first to revoke it stays.
update api_keys set revoked_at = date_trunc('milliseconds', clock_timestamp()), revoked_by = %(by)s
where name = %(name)s and revoked_at is null
