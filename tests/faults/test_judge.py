"""The judge is judged: it cries wolf on no good run, and each kind of damage is reported by the check meant for it alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults.good_runs import GoodRun, good_run
from tests.faults.judge import judge_run
from tests.faults.request_damages import REQUEST_DAMAGES
from tests.faults.run_damages import DAMAGES, Harm
from tests.faults.stories import Story
from tests.faults.verdict import Figures

_SUMMED = (
    *("attempts", "acked", "recovered", "executions", "overlapping", "duplicate_effects"),
    *("batched", "waited", "cancels", "retries", "followed", "streams"),
)
_ALL = [*DAMAGES, *REQUEST_DAMAGES]


@pytest.fixture(scope="module")
def good() -> GoodRun:
    """A run in which everything happens."""
    return good_run(5_000, jobs=1_000)


@pytest.fixture(scope="module")
def stories(good: GoodRun) -> list[Story]:
    """The log of that run, as it is read."""
    return list(good.stories())


def test_a_thousand_random_good_runs_raise_no_alarm() -> None:
    sums = Figures()
    for seed in range(1_000):
        run = good_run(seed, jobs=12)
        figures, findings = judge_run(run.stories(), keys=run.keys, lines=run.lines, effects=run.effects())
        assert findings.kept == [], f"seed {seed}"
        assert (figures.lost, figures.unexpected, figures.resurrected) == (0, 0, 0)
        for name in _SUMMED:
            setattr(sums, name, getattr(sums, name) + getattr(figures, name))
    # All that must be forgiven did happen.
    assert sums.attempts == 12_000
    assert min(getattr(sums, name) for name in _SUMMED) > 200, sums


@pytest.mark.parametrize(("check", "damage", "do"), _ALL, ids=[f"{check} {damage}" for check, damage, _ in _ALL])
def test_damage_is_reported_by_the_check_meant_for_it_and_by_no_other(
    check: str, damage: str, do: Callable[[Harm], None], good: GoodRun, stories: list[Story]
) -> None:
    harm = Harm(good, stories)
    do(harm)
    run = harm.run
    _, findings = judge_run(harm.stories.values(), keys=good.keys, lines=run.lines, effects=run.effects())
    assert list(findings.counts) == [check], findings.kept
