"""The whole service in one process, on real servers, against a model; anything may break between any two of its steps.

Api, dispatchers and workers are the real use cases over the real adapters; each call that they make of the outside waits until a
rule performs it, loses it, delays it, answers it, or kills who made it. After each rule the system is held against the model; in
the end everything is healed, the work is finished, and the log is verified.

`PROPERTIES=long` goes on for much longer. A failure prints the rules that led to it; it is the same at each run.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis.stateful import run_state_machine_as_test

from adapters.embedded.postgres import PostgresServer
from adapters.embedded.valkey import ValkeyServer
from tests.conftest import migrated_database
from tests.properties.effort import effort
from tests.properties.simulation.planted_bugs import PLANTED, Plant, Story
from tests.properties.simulation.system_machine import SystemMachine
from tests.properties.simulation.world import World, simulated_world


@pytest.fixture(scope="module")
def world(postgres_server: PostgresServer, migrated_template: str, valkey_server: ValkeyServer) -> Iterator[World]:
    with (
        migrated_database(postgres_server, migrated_template) as url,
        simulated_world(url, valkey_server.url) as world,
    ):
        yield world


@pytest.mark.timeout(0)  # the long form takes an hour
def test_no_job_is_lost_doubled_or_stuck_whatever_breaks_between_any_two_steps(world: World) -> None:
    run_state_machine_as_test(_over(world), settings=effort(quick=25, long=3_000, steps=60))


@pytest.mark.parametrize(("plant", "story"), PLANTED, ids=[plant.__name__.strip("_") for plant, _ in PLANTED])
def test_a_planted_bug_is_noticed(world: World, plant: Plant, story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    _play(world, story)  # which without the bug ends well

    plant(monkeypatch)

    with pytest.raises(AssertionError):
        _play(world, story)


def _play(world: World, story: Story) -> None:
    machine = _over(world)()
    try:
        story(machine)
        machine.judge_end()
    finally:
        machine.service.end()


def _over(world: World) -> type[SystemMachine]:
    class OverWorld(SystemMachine):
        pass

    OverWorld.world = world
    return OverWorld
