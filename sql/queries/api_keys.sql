-- All keys, the oldest first; there are few, and revoked ones count too.
select name, scope, digest, created_at, created_by, revoked_at, revoked_by, last_used_at
from api_keys
order by created_at, name
