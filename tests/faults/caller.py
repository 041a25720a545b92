"""One caller of the APIs: asks another one each time, so what one process has accepted is asked of the other."""

from __future__ import annotations

import time
from collections.abc import Sequence

from msgspec import Struct

from tests.faults.client_log import Answer
from tests.faults.http_connection import HttpAnswer, HttpConnection

_NOTHING = HttpAnswer(0, {}, b"")


class Reply(Struct, frozen=True):
    """What came of a request: `http` is empty where there was no answer, and `error` then says why."""

    api: str
    began: float  # monotonic
    ended: float
    answer: Answer
    http: HttpAnswer = _NOTHING
    error: str = ""

    @property
    def status(self) -> int:
        return self.http.status


class Caller:
    """Keeps a connection to each API alive. `apis`: base URLs. `timeout`: seconds after which an outcome counts as unknown."""

    def __init__(self, apis: Sequence[str], *, turn: int, timeout: float) -> None:
        self._apis = apis
        self._turn = turn
        self._timeout = timeout
        self._connections: dict[str, HttpConnection] = {}

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()

    async def ask(self, method: str, path: str, *, headers: str = "", body: bytes = b"", waits: int = 0) -> Reply:
        """One request to the next API. `waits`: seconds for which its answer may wait for the end of a job."""
        self._turn += 1
        api = self._apis[self._turn % len(self._apis)]
        connection = self._connections.get(api)
        if connection is None:
            connection = self._connections[api] = HttpConnection(api)
        if waits:
            headers += f"prefer: wait={waits}\r\n"
        began = time.monotonic()
        try:
            answer = await connection.request(method, path, headers=headers, body=body, timeout=self._timeout + waits)
        except OSError as exc:
            return Reply(api, began, time.monotonic(), "unknown", error=f"{type(exc).__name__}: {exc}")
        return Reply(api, began, time.monotonic(), outcome_of(answer.status), answer)


def outcome_of(status: int) -> Answer:
    """What an answer with that status means for what was asked."""
    if 200 <= status < 300:
        return "ok"
    return "refused" if 400 <= status < 500 else "unknown"
