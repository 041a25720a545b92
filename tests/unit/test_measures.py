"""What processes count: every value in its class, the sums right, and what is shown readable by Prometheus' own parser."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector, CollectorRegistry

from adapters.prometheus import families
from commands.measures import DURATIONS, AttemptMeasures, Distribution
from entrypoints.metrics import PROCESSES, ports_of


@given(st.lists(st.floats(min_value=0, max_value=10_000), max_size=50))
def test_a_value_counts_in_every_bucket_that_is_not_below_it(values: list[float]) -> None:
    measures = AttemptMeasures()
    measures.have_run((("T", "high"), value) for value in values)
    shown = {
        float(sample.labels["le"]): sample.value
        for family in parsed(families.attempts(measures))
        if family.name == "jobledger_attempt_running_seconds"
        for sample in family.samples
        if sample.name.endswith("_bucket")
    }
    bounds = (*DURATIONS, float("inf")) if values else ()
    assert shown == {bound: sum(value <= bound for value in values) for bound in bounds}


def test_a_distribution_keeps_the_sum_of_its_values() -> None:
    distribution = Distribution((1, 2))
    for value in (0.5, 1, 1.5, 99):
        distribution.add(value)
    assert (distribution.counts, distribution.total) == ([2, 1, 1], 102)


def test_the_processes_of_a_machine_never_try_each_others_ports() -> None:
    tried = [set(ports_of(process, 9464)) for process in PROCESSES]
    assert [min(ports) for ports in tried] == [9464, 9465, 9466, 9467]
    assert sum(map(len, tried)) == len(set.union(*tried))
    assert max(ports_of("worker", 65_500)) <= 65_535


class _Shown(Collector):
    def __init__(self, shown: Iterable[Metric]) -> None:
        self._shown = shown

    def collect(self) -> Iterable[Metric]:
        return self._shown


def parsed(shown: Iterable[Metric]) -> list[Metric]:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Shown(list(shown)))
    return list(text_string_to_metric_families(generate_latest(registry).decode()))
