"""A random mix of all faults, in a short form; `make faults SEED=… MINUTES=…` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.nemesis import plan
from tests.faults.random_mix import run_mix, whole_cluster

_SEED = 20_260_127
_SECONDS = 20.0


@pytest.mark.long_form
def test_a_random_mix_of_faults_loses_nothing(home: Path) -> None:
    with whole_cluster(home) as cluster:
        run_mix(cluster, seed=_SEED, seconds=_SECONDS)


def test_a_plan_comes_from_its_seed_alone_and_breaks_everything_in_time() -> None:
    steps = plan(7, seconds=1200)
    assert steps == plan(7, seconds=1200)
    assert steps != plan(8, seconds=1200)
    assert [step.at for step in steps] == sorted(step.at for step in steps)
    assert {step.lane for step in steps} == {"process", "postgres", "redis", "network"}
    assert plan(7, seconds=20) == [step for step in steps if step.at < 20]
