"""API keys against real processes: from an open service to one that lets nobody in, over two API processes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import free_port
from tests.forking import run_module
from tests.system.service import WITHIN, Service
from tests.until import until_now

JOB = {"type": "NOOP", "payload": None}
REVOKED_WITHIN = 5.0


@pytest.fixture
def two_apis(service: Service) -> Iterator[list[httpx.Client]]:
    """The service with two API processes, and a client of each."""
    port = free_port()
    service.start("api")
    service.start("api 2", API_PORT=port)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as second:
        yield [service.http, second]


def _command(service: Service, *argv: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """`jobledger` with its two outputs apart."""
    given = os.environ | {"DATABASE_URL": service._postgres_url} | environ
    return run_module("jobledger", *argv, environ=given, cwd=service.home)


def _made(service: Service, name: str, scope: str) -> str:
    done = _command(service, "keys", "create", "--name", name, "--scope", scope)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"jl_[A-Za-z0-9]{43}\n", done.stdout)
    return done.stdout.strip()


def _until_all_answer(clients: list[httpx.Client], status: int, *, key: str = "") -> float:
    """Wait until every process answers so; gives the seconds that it took."""
    headers = {"authorization": f"Bearer {key}"} if key else {}
    began = time.monotonic()
    until_now(
        lambda: {client.post("/jobs", json=JOB, headers=headers).status_code for client in clients} == {status},
        within=WITHIN,
        saw=lambda: [client.get("/health").text for client in clients],
    )
    return time.monotonic() - began


def test_from_open_to_keys_to_nobody(two_apis: list[httpx.Client], service: Service, tmp_path: Path) -> None:
    assert service["api"].said("the api is open: no key was made yet")
    assert [client.get("/health").json()["access"] for client in two_apis] == ["open", "open"]
    assert _command(service, "keys", "list").stdout == "there is no key: the API lets everyone in\n"
    _until_all_answer(two_apis, 201)

    shop = _made(service, "shop", "submit")
    assert _until_all_answer(two_apis, 401) < REVOKED_WITHIN
    assert service["api"].said("the api needs keys from now on: the first one was made")
    assert _until_all_answer(two_apis, 201, key=shop) < REVOKED_WITHIN
    desk = _made(service, "desk", "operate")
    _until_all_answer(two_apis, 201, key=desk)

    # What is sent with a key names it, also from the command line; the token stands nowhere.
    file, key_file = tmp_path / "jobs.ndjson", tmp_path / "key"
    file.write_text(json.dumps(JOB) + "\n")
    key_file.write_text(f"{shop}\n")
    url = str(service.http.base_url)
    without = _command(service, "submit", str(file), "--url", url)
    with_file = _command(service, "submit", str(file), "--url", url, "--key-file", str(key_file))
    by_setting = _command(service, "submit", str(file), "--url", url, JOBLEDGER_API_KEY=desk)
    assert (without.returncode, with_file.returncode, by_setting.returncode) == (2, 0, 0)
    assert "answers 401" in without.stderr
    assert {actor for (actor,) in service.ask("select distinct actor from events")} == {"anonymous", "shop", "desk"}
    [(kept,)] = service.ask("select string_agg(k::text, '') from api_keys k")
    assert not [place for place in (kept, service.told()) if shop in place or desk in place]

    listed = json.loads(_command(service, "keys", "list", "--format", "json").stdout)["keys"]
    assert [(key["name"], key["scope"], key["state"]) for key in listed] == [
        ("shop", "submit", "active"),
        ("desk", "operate", "active"),
    ]
    assert "@" in listed[0]["createdBy"]

    assert _command(service, "keys", "revoke", "shop").stdout.startswith("key shop is revoked")
    assert _until_all_answer(two_apis, 401, key=shop) < REVOKED_WITHIN
    _until_all_answer(two_apis, 201, key=desk)
    last = _command(service, "keys", "revoke", "desk")
    assert last.stderr == "no key is left: the API lets nobody in until another one is made\n"
    assert _until_all_answer(two_apis, 401, key=desk) < REVOKED_WITHIN
    assert _until_all_answer(two_apis, 401) < REVOKED_WITHIN  # and not open again

    # Nor after a restart.
    service.stop("api")
    service.start("api")
    assert _until_all_answer(two_apis, 401) < REVOKED_WITHIN


def test_what_cannot_be_is_one_sentence(service: Service) -> None:
    _made(service, "shop", "read")
    for argv, code, said in (
        (["create", "--name", "shop", "--scope", "read"], 1, "there is a key named shop already"),
        (["create", "--name", "Shop!", "--scope", "read"], 1, "'Shop!' can be no key's name"),
        (["create", "--name", "operator", "--scope", "read"], 1, "'operator' can be no key's name"),
        (["create", "--name", "x", "--scope", "all"], 2, "scope"),
        (["create", "--scope", "read"], 2, "name"),
        (["revoke", "shopp"], 1, "there is no key named 'shopp'"),
    ):
        done = _command(service, "keys", *argv)
        assert (done.returncode, done.stdout) == (code, ""), (argv, done.stderr)
        assert done.stderr.startswith("jobledger: ")
        assert done.stderr.count("\n") == 1
        assert said in done.stderr
    away = _command(service, "keys", "list", DATABASE_URL="postgresql://127.0.0.1:1/x")
    assert (away.returncode, away.stderr.count("\n"), "127.0.0.1" in away.stderr) == (1, 1, True)


def test_beyond_this_machine_it_does_not_listen_before_there_is_a_key_unless_it_is_told_to(service: Service) -> None:
    service.begin("api", API_HOST="0.0.0.0")
    assert service["api"].ended() == 1
    [said] = service["api"].stray
    assert said.startswith(
        "jobledger: no API key was made yet, so everyone would be let in who reaches API_HOST 0.0.0.0"
    )
    assert not service["api"].said("api ready")

    service.start("api", API_HOST="0.0.0.0", ALLOW_ANONYMOUS="true")
    assert service.http.post("/jobs", json=JOB).status_code == 201
    service.stop("api")

    _made(service, "shop", "read")
    service.start("api", API_HOST="0.0.0.0")
    assert service.http.post("/jobs", json=JOB).status_code == 401
    assert not service["api"].said("the api is open: no key was made yet")
