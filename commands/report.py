"""Where use cases tell what a log should hold. What a log looks like does not come in here."""

from __future__ import annotations

from typing import Protocol


class Report(Protocol):
    """A log: an event and its fields."""

    def info(self, event: str, **fields: object) -> object: ...
    def warning(self, event: str, **fields: object) -> object: ...
