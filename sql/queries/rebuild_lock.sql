-- One rebuild at a time: of the session, for it spans many transactions. It ends with the connection, however that ends.
select pg_try_advisory_lock(7310592053)  -- any constant that nobody else in this database uses
