-- Payloads are compressed by LZ4 where this PostgreSQL was built with it: PostgreSQL's own method took more than a third of its CPU time for
-- exports. What is stored already stays as it is, and is read as before.
--
-- Serves releases from 0007 on.

do $$
begin
    alter table events alter column content set compression lz4;
exception
    when feature_not_supported then null;
end
$$;
