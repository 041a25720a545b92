"""What docs/operating.md tells operators to put into their machines and their alerts is what the code has."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

from entrypoints.cli import whole_app
from entrypoints.settings import Settings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operating.md").read_text()


def _unit() -> configparser.ConfigParser:
    found = re.search(r"```ini\n(# /etc/systemd/system/jobledger@\.service\n.*?)```", PAGE, re.DOTALL)
    assert found
    unit = configparser.ConfigParser(interpolation=None)
    unit.read_string(found[1])
    return unit


def test_each_log_line_to_be_told_of_is_written_by_the_code() -> None:
    table = PAGE.partition("## Log lines to be told of")[2].partition("\n## ")[0]
    named = [
        event for row in re.findall(r"^\| (`.+?) \|", table, re.MULTILINE) for event in re.findall(r"`([^`]+)`", row)
    ]
    named.remove("event")
    assert len(named) >= 10
    code = "\n".join(
        file.read_text() for part in ("adapters", "commands", "entrypoints") for file in (ROOT / part).rglob("*.py")
    )
    assert [event for event in named if f'"{event}"' not in code] == []


def test_the_unit_waits_longer_than_a_worker_may_take_to_stop() -> None:
    assert float(_unit()["Service"]["TimeoutStopSec"]) >= Settings().shutdown_grace_seconds + 15


def test_the_unit_starts_each_process_that_the_page_names() -> None:
    assert _unit()["Service"]["ExecStart"].endswith("/jobledger %i")
    enabled = re.findall(r"jobledger@(\w+)", re.findall(r"systemctl enable --now (.*?)`", PAGE, re.DOTALL)[0])
    assert enabled == ["api", "dispatcher", "worker", "projector"]
    assert set(enabled) <= set(whole_app())
