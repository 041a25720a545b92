"""API keys: names, scopes, tokens, and the ring on which a process keeps them."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from commands import key_ring
from commands.api_keys import create_key, new_token, revoke_key
from commands.key_ring import MAX_AGE, USED_SECONDS, Caller, KeyRing
from commands.ports import Unavailable
from domain.api_key import RESERVED_NAMES, SCOPES, InvalidKeyName, KeyScope, allows, checked_key_name, digest_of
from tests.fakes.api_keys import FakeApiKeys


class Bench:
    """A ring over fake keys, on a clock that the test moves."""

    def __init__(self) -> None:
        self.keys = FakeApiKeys()
        self.time = 1000.0
        self.ring = KeyRing(self.keys, now=lambda: self.time)

    async def add(self, name: str, scope: KeyScope = "read") -> str:
        return await create_key(name, scope, by="test", keys=self.keys)

    async def revoke(self, name: str) -> None:
        await revoke_key(name, by="test", keys=self.keys)

    def find(self, token: str) -> Caller | None:
        return self.ring.find(digest_of(token.encode()))


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.parametrize("name", ["a", "7", "shop", "shop-2.eu_west", "a" * 64])
def test_a_name_is_a_short_word(name: str) -> None:
    assert checked_key_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "Shop", "-shop", ".shop", "a b", "a\n", "größe", "a/b", "a" * 65, *sorted(RESERVED_NAMES)]
)
def test_other_names_are_refused_and_so_are_those_of_callers_without_a_key(name: str) -> None:
    with pytest.raises(InvalidKeyName, match="can be no key's name"):
        checked_key_name(name)


def test_each_scope_may_do_what_those_before_it_may() -> None:
    assert SCOPES == get_args(KeyScope) == ("read", "submit", "operate")
    allowed = [(held, needed) for held in SCOPES for needed in SCOPES if allows(held, needed)]
    assert allowed == [
        ("read", "read"),
        ("submit", "read"),
        ("submit", "submit"),
        ("operate", "read"),
        ("operate", "submit"),
        ("operate", "operate"),
    ]


def test_tokens_are_long_alike_and_never_the_same() -> None:
    tokens = {new_token() for _ in range(1000)}
    assert len(tokens) == 1000
    assert all(re.fullmatch(r"jl_[A-Za-z0-9]{43}", token) for token in tokens)
    assert len(digest_of(b"jl_")) == 32


async def test_until_a_first_key_is_made_everyone_is_let_in(bench: Bench) -> None:
    is_open_before = bench.ring.open_to is not None  # nothing is known yet
    await bench.ring.renew()

    caller = bench.ring.open_to

    assert not is_open_before
    assert caller is not None
    assert (caller.name, caller.scope, caller.is_revoked) == ("anonymous", "operate", False)


async def test_from_the_first_key_on_nobody_is_let_in_without_one_also_when_all_are_revoked_or_gone(
    bench: Bench,
) -> None:
    await bench.ring.renew()
    anonymous = bench.ring.open_to
    assert anonymous is not None
    await bench.add("shop")
    await bench.ring.renew()
    assert bench.ring.open_to is None
    assert anonymous.is_revoked

    await bench.revoke("shop")
    await bench.ring.renew()
    assert bench.ring.open_to is None

    bench.keys.kept.clear()  # as in a database that was put back to an earlier moment
    await bench.ring.renew()
    assert bench.ring.open_to is None


async def test_a_key_that_is_revoked_is_so_for_those_who_are_being_answered_too(bench: Bench) -> None:
    token, other = await bench.add("shop", "submit"), await bench.add("desk")
    await bench.ring.renew()
    caller = bench.find(token)
    assert caller is not None
    assert (caller.name, caller.scope, caller.is_revoked) == ("shop", "submit", False)

    await bench.revoke("shop")
    await bench.ring.renew()

    assert caller.is_revoked
    assert bench.find(token) is caller
    still = bench.find(other)
    assert still is not None
    assert not still.is_revoked
    assert bench.find(f"{other}x") is None


async def test_a_process_that_starts_after_a_key_was_revoked_knows_it_as_such(bench: Bench) -> None:
    token = await bench.add("shop")
    await bench.revoke("shop")
    await bench.ring.renew()

    caller = bench.find(token)

    assert caller is not None
    assert caller.is_revoked


async def test_digests_are_compared_in_constant_time(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return False

    token = await bench.add("shop")
    await bench.ring.renew()
    monkeypatch.setattr(key_ring, "compare_digest", compare)

    assert bench.find(token) is None
    digest = digest_of(token.encode())
    assert compared == [(digest, digest)]


async def test_what_is_known_is_believed_for_five_seconds_from_when_it_was_asked_for(bench: Bench) -> None:
    token = await bench.add("shop")
    await bench.ring.renew()
    bench.keys.is_away = True

    bench.time += MAX_AGE - 0.001
    with pytest.raises(Unavailable):
        await bench.ring.renew()
    assert bench.find(token) is not None
    bench.time += 0.001
    assert bench.ring.is_stale
    with pytest.raises(Unavailable, match="the API keys cannot be read"):
        bench.find(token)

    bench.keys.is_away = False
    await bench.ring.renew()
    assert bench.find(token) is not None


async def test_an_open_service_stays_open_while_nothing_can_be_read(bench: Bench) -> None:
    await bench.ring.renew()
    bench.time += 10 * MAX_AGE
    assert not bench.ring.is_stale
    assert bench.ring.open_to is not None


async def test_that_keys_are_used_is_noted_once_a_minute_however_often_they_are(bench: Bench) -> None:
    token, _unused = await bench.add("shop"), await bench.add("desk")
    await bench.ring.renew()
    for _ in range(3):
        bench.find(token)
        await bench.ring.renew()
    before = bench.keys.kept["shop"].last_used_at

    bench.time += USED_SECONDS
    await bench.ring.renew()
    first = bench.keys.kept["shop"].last_used_at
    await bench.ring.renew()

    assert before is None
    assert first is not None
    assert bench.keys.kept["shop"].last_used_at == first
    assert bench.keys.kept["desk"].last_used_at is None
