"""GET /metrics on a port of its own: whatever the process does, and whoever else is on the machine."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from prometheus_client import Metric

from adapters.prometheus import families, server
from adapters.prometheus.server import MetricsServer
from tests.conftest import free_port


async def gather() -> list[Metric]:
    return list(families.build(version="1", process="test"))


async def get(port: int | None, path: str = "/metrics") -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        return await http.get(f"http://127.0.0.1:{port}{path}")


async def test_what_is_gathered_is_served_at_metrics_and_nowhere_else() -> None:
    async with MetricsServer(gather, host="127.0.0.1", ports=[free_port()]) as serving:
        answer = await get(serving.port)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert 'jobledger_build_info{process="test",version="1"} 1.0' in answer.text
        assert "process_cpu_seconds_total" in answer.text
        assert (await get(serving.port, "/")).status_code == 404


async def test_a_second_process_takes_the_next_port_and_one_too_many_goes_without() -> None:
    ports = [free_port(), free_port()]
    async with (
        MetricsServer(gather, host="127.0.0.1", ports=ports) as first,
        MetricsServer(gather, host="127.0.0.1", ports=ports) as second,
        MetricsServer(gather, host="127.0.0.1", ports=ports) as third,
    ):
        assert [first.port, second.port, third.port] == [*ports, None]
        assert (await get(second.port)).status_code == 200


async def test_an_address_of_another_machine_is_an_error() -> None:
    with pytest.raises(OSError, match="assign"):
        await MetricsServer(gather, host="192.0.2.1", ports=[free_port()]).__aenter__()


async def test_a_blocked_event_loop_is_told_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "GATHER_SECONDS", 0.1)
    async with MetricsServer(gather, host="127.0.0.1", ports=[free_port()]) as serving:
        with ThreadPoolExecutor(1) as threads:
            asking = threads.submit(httpx.get, f"http://127.0.0.1:{serving.port}/metrics", trust_env=False, timeout=30)
            answer = asking.result(30)  # and the loop stands still
        assert (answer.status_code, answer.text) == (503, "the event loop of this process does not answer\n")
        monkeypatch.undo()
        assert (await get(serving.port)).status_code == 200  # it goes on
