"""What the processes of a whole service show at /metrics is what the log says, and what docs/metrics.md says of it."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import httpx
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from domain.events import EVENT_TYPES
from tests.system.service import Service

_PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
_PROCESSES = ("api", "dispatcher", "projector", "worker")


def families_of(service: Service, name: str) -> dict[str, Metric]:
    """What that process shows, by the name under which it is written about."""
    url = service[name].until_said("metrics served")["url"]
    answer = httpx.get(url, trust_env=False, timeout=30)
    assert answer.status_code == 200
    families = text_string_to_metric_families(answer.text)
    return {family.name + "_total" * (family.type == "counter"): family for family in families}


class Shown:
    """What all processes show now."""

    def __init__(self, service: Service, *names: str) -> None:
        self.families = {name: families_of(service, name) for name in names}

    def samples(self, process: str, name: str) -> list[Sample]:
        family = self.families[process][re.sub("_(bucket|count|sum)$", "", name)]
        return [sample for sample in family.samples if sample.name == name]

    def value(self, process: str, name: str, **labels: str) -> float:
        """The sum of the samples with these labels, of which there must be one at least."""
        found = [one.value for one in self.samples(process, name) if labels.items() <= one.labels.items()]
        assert found, (process, name, labels, self.samples(process, name))
        return sum(found)


def test_what_is_shown_is_what_the_log_says(service: Service) -> None:
    service.start("api", "dispatcher", "worker")
    noops = [*service.post_many(20, "NOOP"), *service.post_many(5, "NOOP", priority="high")]
    service.until_ended(*noops)
    later = service.http.post("/jobs", json={"type": "NOOP", "payload": None, "delaySeconds": 3600}).json()["jobId"]
    bad = service.post("CSV_EXPORT", {"data": "invalid"})
    service.until(lambda: service.last_types([bad])[bad] == "Attempted")

    # Nobody has folded anything: all of the log is before the read side.
    [[head]] = service.ask("select max(position) from events")
    shown = Shown(service, "api")
    assert shown.value("api", "jobledger_log_head_position") == head
    assert shown.value("api", "jobledger_log_reader_lag_events", reader="jobs") == head
    assert shown.value("api", "jobledger_log_reader_lag_seconds", reader="jobs") > 0

    service.start("projector")
    assert service.http.post(f"/jobs/{later}/cancel").status_code == 200
    service.until_ended(bad, status="failed")
    service.until(
        lambda: all(
            sample.value == 0
            for process in ("api", "dispatcher")
            for sample in Shown(service, process).samples(process, "jobledger_log_reader_lag_events")
        )
    )
    shown = Shown(service, *_PROCESSES)

    [[head]] = service.ask("select max(position) from events")
    truth = dict(service.ask("select type, count(*) from events group by 1"))
    counted = {
        name: sum(
            shown.value(process, "jobledger_events_appended_total", type=name)
            for process in ("api", "dispatcher", "worker")
        )
        for name in EVENT_TYPES
    }
    assert counted == {name: truth.get(name, 0) for name in EVENT_TYPES}
    assert shown.value("worker", "jobledger_append_batch_events_sum") >= truth["Started"] + truth["Completed"]
    assert shown.value("worker", "jobledger_append_seconds_count") > 0

    kinds = [("NOOP", "default", 20), ("NOOP", "high", 5), ("CSV_EXPORT", "default", 3)]
    for type_, priority, attempts in kinds:
        ran = shown.value("worker", "jobledger_attempt_running_seconds_count", type=type_, priority=priority)
        assert ran == attempts
        waited = shown.value("worker", "jobledger_attempt_waiting_seconds_count", type=type_, priority=priority)
        assert waited == (1 if type_ == "CSV_EXPORT" else attempts)  # its other attempts were queued later
    assert shown.value("worker", "jobledger_claims_total", outcome="claimed") == truth["Started"]
    waits = service.ask(
        "select coalesce(sum(extract(epoch from s.recorded_at - c.recorded_at)), 0)::float8 from events c"
        " join events s on s.job_id = c.job_id and s.version = 2 and s.type = 'Started' where c.version = 1"
    )
    assert abs(shown.value("worker", "jobledger_attempt_waiting_seconds_sum") - waits[0][0]) < 1e-6

    posts = {"route": "/jobs", "method": "POST"}
    assert shown.value("api", "jobledger_http_requests_total", status="2xx", **posts) == 27
    assert shown.value("api", "jobledger_http_request_seconds_count", **posts) == 27
    assert shown.value("api", "jobledger_http_requests_total", route="/jobs/{id}/cancel") == 1
    assert shown.value("dispatcher", "jobledger_wake_late_seconds_count") == truth["Queued"] == 2

    assert shown.value("projector", "jobledger_projection_events_total", projection="jobs") == head
    assert shown.value("projector", "jobledger_projection_position", projection="jobs") == head
    assert shown.value("dispatcher", "jobledger_queue_entries_relayed_total") == 25 + 3
    assert shown.value("dispatcher", "jobledger_queue_entries") == 0
    assert shown.value("dispatcher", "jobledger_dispatcher_leads") == 1
    assert shown.value("api", "jobledger_workers", claims_from="streams") == 1
    assert shown.value("worker", "jobledger_heartbeats_total") > 0
    assert shown.value("worker", "jobledger_worker_running_attempts") == 0

    # What is written about is there, and the other way round.
    written = set(re.findall(r"^\| `(jobledger_\w+)` \|", _PAGE, re.MULTILINE)) | set(
        re.findall(r"`(process_\w+)`", _PAGE)
    )
    assert written == {name for families in shown.families.values() for name in families}
    named = set(re.findall(r"jobledger_\w+", _PAGE)) - written
    assert {re.sub("_(bucket|count|sum)$", "", name) for name in named} <= written
    for families in shown.families.values():
        for name, family in families.items():
            labels = Counter(label for sample in family.samples for label in sample.labels if label != "le")
            row = re.search(rf"^\| `{name}` \| (\w+)(?:: ([^|]*))? \|", _PAGE, re.MULTILINE)
            if row is not None:
                assert row[1] == family.type
                assert set(labels) <= set(re.findall(r"`(\w+)`", row[2] or "")), name


def test_what_waits_is_seen_while_nobody_works(service: Service) -> None:
    service.start("api", "dispatcher", "projector")
    jobs = [*service.post_many(3, "NOOP"), service.post("NOOP", priority="high")]
    service.until_queued(*jobs)
    service.until(lambda: Shown(service, "dispatcher").value("dispatcher", "jobledger_queue_entries") == 4)
    service.until(lambda: Shown(service, "api").value("api", "jobledger_queue_oldest_seconds", priority="high") > 0)
    shown = Shown(service, "api", "dispatcher")
    assert shown.value("dispatcher", "jobledger_queue_entries", priority="high") == 1
    assert shown.value("api", "jobledger_queue_oldest_seconds", priority="default") > 0
    assert shown.value("api", "jobledger_workers") == 0
    service.start("worker")
    service.until_ended(*jobs)
