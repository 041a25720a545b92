-- A new key; no row is changed where its name is taken, be it by one that was revoked.
insert into api_keys (name, scope, digest, created_by)
values (%(name)s, %(scope)s, %(digest)s, %(by)s)
on conflict (name) do nothing
