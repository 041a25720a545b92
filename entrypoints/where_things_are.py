"""What `jobledger up` says once it is up: where things are, and what to try first."""

from __future__ import annotations

import os
from typing import TextIO

import structlog

from entrypoints.logs import is_console
from entrypoints.metrics import PROCESSES
from entrypoints.settings import Settings

_EVERYWHERE = {"0.0.0.0", "::", ""}  # noqa: S104 - compared with, not listened on

log = structlog.get_logger()


def say_where_things_are(settings: Settings, *, catches_mail: bool, output: TextIO) -> None:
    """Print it for people, or log it as one line for machines; by the same rule as the format of all log lines."""
    api = _address(settings.api_host, settings.api_port)
    page = _address(settings.mail_catcher_host, settings.mail_ui_port)
    mail = page if catches_mail else f"sent by {settings.mail_host}"
    places = {
        "api": api,
        "openapi": f"{api}/schema",
        "mail": mail,
        "metrics": _metrics(settings),
        "exports": str(settings.output_dir),
        "data": str(settings.data_dir),
    }
    first = (
        f"curl -i {api}/jobs -H 'content-type: application/json' "
        """-d '{"type": "CSV_EXPORT", "payload": {"data": [{"id": 1, "name": "Ada"}]}}'"""
    )
    if not is_console(settings, output):
        log.info("up", **places, try_first=first)
        return
    colours = output.isatty() and not os.environ.get("NO_COLOR")
    bold, reset = ("\x1b[1m", "\x1b[0m") if colours else ("", "")
    labels = {
        "api": "API",
        "openapi": "OpenAPI page",
        "mail": "Mail",
        "metrics": "Metrics",
        "exports": "Exports",
        "data": "Data",
    }
    lines = [f"  {labels[key]:<14}{place}" for key, place in places.items()]
    text = "\n".join(
        [
            "",
            f"  {bold}Jobledger is up.{reset}",
            "",
            *lines,
            "",
            "  Try first:",
            f"    {first}",
            "",
            "  Ctrl-C stops it.",
            "",
        ]
    )
    output.write(text + "\n")
    output.flush()


def _metrics(settings: Settings) -> str:
    if not settings.metrics_port:
        return "off (METRICS_PORT)"
    first, *others = (
        f"{_address(settings.metrics_host, settings.metrics_port + place)}/metrics"
        if place == 0
        else f"{settings.metrics_port + place}"
        for place in range(len(PROCESSES))
    )
    return f"{first} ({PROCESSES[0]}); {', '.join(f'{name} {port}' for name, port in zip(PROCESSES[1:], others, strict=True))}"


def _address(host: str, port: int) -> str:
    if host in _EVERYWHERE:
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
