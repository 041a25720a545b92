-- What has to be run to make the roles that are missing: one statement a row, in their order. Roles belong to the whole server, so their
-- names begin with the database's. Beside it: whether it makes the login. `login`: whom the service's processes log in as; it may be the role of the service itself.
with wanted as (
    select left(current_database(), 55) || '_service' as service, left(current_database(), 55) || '_reader' as reader, %(login)s::text as login
),
there as (
    select w.*, s.oid as service_oid, r.oid as reader_oid, l.oid as login_oid
    from wanted w
    left join pg_roles s on s.rolname = w.service
    left join pg_roles r on r.rolname = w.reader
    left join pg_roles l on l.rolname = w.login
)
select statement, makes_login from (
    select 1, format('create role %%I %%s', service, case when service = login then 'login' else 'nologin' end), service = login
    from there where service_oid is null
    union all
    select 2, format('create role %%I nologin', reader), false from there where reader_oid is null
    union all
    select 3, format('create role %%I login', login), true from there where login_oid is null and login <> service
    union all
    select 4, format('grant %%I to %%I', service, login), false
    from there
    where login <> service and (login_oid is null or service_oid is null or not pg_has_role(login_oid, service_oid, 'USAGE'))
) s (turn, statement, makes_login)
order by turn
