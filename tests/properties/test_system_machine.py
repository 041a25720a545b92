"""The whole service in one process, on real servers, against a model; anything may break between any two of its steps.

Api, dispatchers and workers are the real use cases over the real adapters; each call that they make of the outside waits until a
rule performs it, loses it, delays it, answers it, or kills who made it. After each rule the system is held against the model; in
the end everything is healed, the work is finished, and the log is verified.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis.stateful import run_state_machine_as_test

from adapters.embedded.postgres import PostgresServer
from adapters.embedded.valkey import ValkeyServer
from tests.conftest import migrated_database
from tests.properties.effort import effort
from tests.properties.simulation.system_machine import SystemMachine
from tests.properties.simulation.world import World, simulated_world


@pytest.fixture(scope="module")
def world(postgres_server: PostgresServer, migrated_template: str, valkey_server: ValkeyServer) -> Iterator[World]:
    with (
        migrated_database(postgres_server, migrated_template) as url,
        simulated_world(url, valkey_server.url) as world,
    ):
        yield world


def test_no_job_is_lost_doubled_or_stuck_whatever_breaks_between_any_two_steps(world: World) -> None:
    class OverWorld(SystemMachine):
        pass

    OverWorld.world = world
    run_state_machine_as_test(OverWorld, settings=effort(quick=40, long=3_000, steps=60))
