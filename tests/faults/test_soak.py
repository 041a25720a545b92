"""`make soak` works: what grows is seen, what does not is left alone, and a soak of some seconds takes every sample."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.faults.durable_cluster import durable_cluster
from tests.faults.flatness import Bound, judge_flatness
from tests.faults.soak import soak
from tests.faults.soak_samples import resources

_MINUTE = [5.0 * turn for turn in range(180)]  # a quarter of an hour


@pytest.mark.parametrize("an_hour", [13.0, 40.0])
def test_a_leak_is_seen_through_noise(an_hour: float) -> None:
    dice = Random(1)
    values = [80 + at * an_hour / 3600 + dice.uniform(-0.5, 0.5) for at in _MINUTE]
    found = judge_flatness("worker 1: memory", "MiB", Bound(units=8.0), times=_MINUTE, values=values)
    assert found.slope == pytest.approx(an_hour, rel=0.1)
    assert not found.holds


def test_noise_a_spike_and_what_falls_are_flat() -> None:
    dice = Random(2)
    noise = [80 + dice.uniform(-2.0, 2.0) for _ in _MINUTE]
    spike = [500.0 if 100 < turn < 120 else 80.0 for turn in range(180)]
    falling = [80 - at / 60 for at in _MINUTE]
    warming_up = [min(at, 100.0) for at in _MINUTE]
    for values in (noise, spike, falling, warming_up):
        assert judge_flatness("", "", Bound(units=4.0), times=_MINUTE, values=values).holds


def test_a_part_of_the_median_is_allowed_where_that_is_more() -> None:
    values = [1000 + 50 * at / 3600 for at in _MINUTE]
    assert judge_flatness("", "", Bound(units=8.0, part=0.1), times=_MINUTE, values=values).holds
    assert not judge_flatness("", "", Bound(units=8.0, part=0.01), times=_MINUTE, values=values).holds


def test_a_soak_samples_every_resource_and_is_judged(home: Path) -> None:
    with durable_cluster(home) as cluster:
        found = soak(cluster, seconds=2.0, rate=10.0)
    assert found.accepted > 0
    assert "lost 0, unexpected 0" in found.verdict
    names = [resource.name for resource in resources()]
    assert [line.resource for line in found.lines] == names
    assert all(len(row) == len(names) for row in found.values)
    seen = dict(zip(names, found.values[-1], strict=True))
    assert seen["worker 1: memory"] > 20
    assert seen["worker 1: file descriptors"] > 5
    assert seen["PostgreSQL: connections of the service"] >= 8
    assert seen["PostgreSQL: memory of these sessions alone"] > 1
    assert seen["Redis: connections"] >= 4
    assert found.table().count("\n") == len(names) + 1
