-- The holder lets another one lead at once.
update dispatcher_lease set expires_at = '-infinity' where holder = %(holder)s
