-- What the service and those who only read may do, and nobody else but the owner; given anew each time, so it is what stands here
-- after a restore, too. Every table of the migrations has its line.
do $$
declare
    service name := left(current_database(), 55) || '_service';
    reader name := left(current_database(), 55) || '_reader';
    place name := (select n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = 'events'::regclass);
    given record;
begin
    if not pg_has_role((select relowner from pg_class where oid = 'events'::regclass), 'USAGE') then
        raise exception '% does not own the table events, % does', current_user,
            (select pg_get_userbyid(relowner) from pg_class where oid = 'events'::regclass) using errcode = 'insufficient_privilege';
    end if;
    for given in
        select * from (values
            -- The log, and what decides what may be written into it: the one way in is append_events, which runs as the owner.
            ('events', 'select', 'select'),
            ('log', 'select', 'select'),
            ('transitions', 'select', 'select'),
            ('schema_migrations', 'select', 'select'),
            ('idempotency_keys', 'select, delete', null), -- written by append_events, swept when they are old
            ('api_keys', 'select, update (last_used_at)', null), -- made and revoked by the owner
            -- What is made from the log, and what processes say of themselves.
            ('jobs', 'select, insert, update', 'select'),
            ('stats', 'select, insert, update, delete', 'select'),
            ('checkpoints', 'select, update', 'select'),
            ('workers', 'select, insert, update, delete', 'select'),
            ('progress', 'select, insert, update, delete', 'select'),
            ('dispatcher_lease', 'select, update', 'select')
        ) v (relation, of_service, of_reader)
    loop
        execute format('revoke all on %I.%I from public, %I, %I', place, given.relation, service, reader);
        execute format('grant %s on %I.%I to %I', given.of_service, place, given.relation, service);
        if given.of_reader is not null then
            execute format('grant %s on %I.%I to %I', given.of_reader, place, given.relation, reader);
        end if;
    end loop;
    -- What runs as the owner, whoever calls it: what the caller made in pg_temp must not be found before the tables that are meant.
    for given in select p.oid::regprocedure as signature from pg_proc p where p.pronamespace = place::regnamespace and p.prosecdef loop
        execute format('revoke all on function %s from public, %I, %I', given.signature, service, reader);
        execute format('alter function %s set search_path = %I, pg_temp', given.signature, place);
    end loop;
    execute format('grant execute on function %I.append_events to %I', place, service);
    for given in select * from unnest(array[service, reader]) r (role) where not has_schema_privilege(r.role, place, 'USAGE') loop
        execute format('grant usage on schema %I to %I', place, given.role);
    end loop;
end
$$
