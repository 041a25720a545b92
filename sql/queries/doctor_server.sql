-- What the server is, and how it is set for this user. Transactions of other users can only be seen by those who may see all.
select current_setting('server_version'), current_setting('server_version_num')::int, pg_is_in_recovery(),
       current_setting('fsync'), current_setting('synchronous_commit'), current_setting('full_page_writes'),
       (select count(*) from pg_stat_activity where backend_type = 'client backend'),
       current_setting('max_connections')::int,
       pg_database_size(current_database()),
       coalesce((select extract(epoch from clock_timestamp() - min(xact_start)) from pg_stat_activity
                 where pid <> pg_backend_pid() and backend_type = 'client backend'), 0)::float8,
       extract(epoch from clock_timestamp())::float8
