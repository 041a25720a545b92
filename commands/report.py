"""Where use cases tell what a log should hold. What a log looks like does not come in here."""

from __future__ import annotations

from typing import Protocol


class Report(Protocol):
    """A log: an event and its fields."""

    def is_enabled_for(self, level: int) -> bool:
        """Whether lines of that level (as `logging` numbers them) are kept at all; asked once for many of them."""

    def debug(self, event: str, **fields: object) -> object: ...
    def info(self, event: str, **fields: object) -> object: ...
    def warning(self, event: str, **fields: object) -> object: ...
