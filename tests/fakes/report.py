"""What was told to a log, kept."""

from __future__ import annotations

from logging import INFO
from typing import Any


class FakeReport:
    """Implements commands.report.Report. `lines`: each event with its fields, in order."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    @property
    def events(self) -> list[str]:
        """The events alone."""
        return [event for event, _ in self.lines]

    def is_enabled_for(self, level: int) -> bool:
        return level >= INFO

    def debug(self, event: str, **fields: object) -> None:
        """Not kept: tests are about what people read."""

    def info(self, event: str, **fields: object) -> None:
        self.lines.append((event, fields))

    def warning(self, event: str, **fields: object) -> None:
        self.lines.append((event, fields))
