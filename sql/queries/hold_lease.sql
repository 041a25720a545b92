-- Take or keep the dispatcher's lease, on the database's clock, and report what the holder sees. A lease that ends later than one
-- taken now was taken before that clock stepped back: it is nobody's, or it would hold for as long as the step was.
update dispatcher_lease set
    holder = %(holder)s,
    expires_at = clock_timestamp() + make_interval(secs => %(seconds)s),
    relayed_position = %(relayed_position)s,
    redis_state = %(redis_state)s,
    reported_at = clock_timestamp()
where holder = %(holder)s or expires_at not between clock_timestamp() and clock_timestamp() + make_interval(secs => %(seconds)s)
