"""What every ApiKeys promises: in PostgreSQL, and its fake; and what the table itself refuses."""

from __future__ import annotations

from collections.abc import AsyncIterator

import psycopg
import pytest

from adapters.postgres.api_keys import PostgresApiKeys
from adapters.postgres.connecting import make_pool
from commands.api_keys import ApiKeys, KeyNameTaken, NoSuchKey, create_key, revoke_key
from domain.api_key import digest_of
from tests.fakes.api_keys import FakeApiKeys
from tests.real_log import connected


@pytest.fixture(params=["fake", "postgres"])
async def keys(request: pytest.FixtureRequest, postgres_url: str) -> AsyncIterator[ApiKeys]:
    if request.param == "fake":
        yield FakeApiKeys()
        return
    async with make_pool(postgres_url, size=1, application="api keys") as pool:
        yield PostgresApiKeys(pool)


async def test_a_key_is_kept_with_its_makers_name_and_without_its_token(keys: ApiKeys) -> None:
    assert await keys.all() == []

    token = await create_key("shop", "submit", by="ada@desk", keys=keys)

    [key] = await keys.all()
    assert (key.name, key.scope, key.created_by) == ("shop", "submit", "ada@desk")
    assert key.digest == digest_of(token.encode())
    assert (key.revoked_at, key.revoked_by, key.last_used_at) == (None, None, None)
    assert token not in repr(key)


async def test_a_name_is_given_once_also_after_it_was_revoked(keys: ApiKeys) -> None:
    await create_key("shop", "read", by="ada", keys=keys)
    with pytest.raises(KeyNameTaken, match="a key named shop already, or was"):
        await create_key("shop", "operate", by="ada", keys=keys)
    await revoke_key("shop", by="ada", keys=keys)
    with pytest.raises(KeyNameTaken):
        await create_key("shop", "operate", by="ada", keys=keys)

    assert [key.scope for key in await keys.all()] == ["read"]


async def test_who_revoked_a_key_first_stays(keys: ApiKeys) -> None:
    await create_key("shop", "read", by="ada", keys=keys)
    await create_key("desk", "read", by="ada", keys=keys)

    assert await revoke_key("shop", by="bob", keys=keys) is True
    assert await revoke_key("shop", by="eve", keys=keys) is False
    with pytest.raises(NoSuchKey, match="there is no key named 'stop'"):
        await revoke_key("stop", by="bob", keys=keys)

    shop, desk = await keys.all()
    assert (shop.revoked_by, desk.revoked_by) == ("bob", None)
    assert shop.revoked_at is not None
    assert shop.revoked_at >= shop.created_at


async def test_use_is_noted_of_keys_that_are_not_revoked(keys: ApiKeys) -> None:
    for name in ("a", "b", "c"):
        await create_key(name, "read", by="ada", keys=keys)
    await revoke_key("b", by="ada", keys=keys)

    await keys.used({"a", "b"})

    assert [key.last_used_at is not None for key in await keys.all()] == [True, False, False]


@pytest.mark.parametrize(
    "statement",
    [
        "delete from api_keys where name = 'old'",
        "truncate api_keys",
        "update api_keys set revoked_at = null, revoked_by = null",
        "update api_keys set scope = 'operate' where name = 'shop'",
        "update api_keys set name = 'stop' where name = 'shop'",
        "update api_keys set digest = sha256('mine') where name = 'shop'",
        "update api_keys set created_by = 'me' where name = 'shop'",
        "update api_keys set revoked_at = now() where name = 'shop'",
        "insert into api_keys (name, scope, digest, created_by) values ('x', 'all', sha256('x'), 'me')",
        "insert into api_keys (name, scope, digest, created_by) values ('operator', 'read', sha256('x'), 'me')",
        "insert into api_keys (name, scope, digest, created_by) values ('x', 'read', 'a token', 'me')",
        "insert into api_keys (name, scope, digest, created_by) select 'x', scope, digest, 'me' from api_keys limit 1",
    ],
)
async def test_the_table_refuses_what_no_key_may_become(postgres_url: str, statement: str) -> None:
    async with make_pool(postgres_url, size=1, application="api keys") as pool:
        keys = PostgresApiKeys(pool)
        await create_key("shop", "read", by="ada", keys=keys)
        await create_key("old", "read", by="ada", keys=keys)
        await revoke_key("old", by="ada", keys=keys)
        before = await keys.all()

        with connected(postgres_url) as db, pytest.raises(psycopg.Error):
            db.execute(statement)

        assert await keys.all() == before
