-- Take or keep the dispatcher's lease, on the database's clock, and report what the holder sees.
update dispatcher_lease set
    holder = %(holder)s,
    expires_at = clock_timestamp() + make_interval(secs => %(seconds)s),
    relayed_position = %(relayed_position)s,
    redis_state = %(redis_state)s,
    reported_at = clock_timestamp()
where holder = %(holder)s or expires_at < clock_timestamp()
