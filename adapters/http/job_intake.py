"""The service's POST /jobs/batch, from outside: over HTTP, with the standard library's client. Blocks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from commands.ports import Unavailable
from commands.submit_jobs import BatchTooLarge, IntakeAnswer, IntakeRefuses

_REPLY_SECONDS = 60.0
_HEADERS = {"Content-Type": "application/x-ndjson", "Accept": "application/json"}


class HttpJobIntake:
    """Implements commands.submit_jobs.JobIntake. `url`: of the API, such as http://127.0.0.1:3000; no proxy is asked. `key`: the
    token of an API key; empty: none is sent."""

    def __init__(self, url: str, *, key: str = "") -> None:
        """Raises IntakeRefuses for what is no such URL."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as exc:
            raise IntakeRefuses(f"{url!a} is no URL: {exc}") from exc
        if parts.scheme not in ("http", "https") or not host:
            raise IntakeRefuses(f"{url!a} is no URL of an API, such as http://127.0.0.1:3000")
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._connection = kind(host, port, timeout=_REPLY_SECONDS)
        self._path = f"{parts.path.rstrip('/')}/jobs/batch"
        self._headers = {**_HEADERS, "Authorization": f"Bearer {key}"} if key else _HEADERS
        self._url = url

    def post(self, jobs: Sequence[bytes]) -> list[IntakeAnswer]:
        """See JobIntake.post."""
        try:
            self._connection.request("POST", self._path, body=b"\n".join(jobs), headers=self._headers)
            response = self._connection.getresponse()
            status, retry_after, body = response.status, response.getheader("Retry-After"), response.read()
        except (OSError, HTTPException) as exc:
            self._connection.close()  # it is made anew at the next request
            raise Unavailable(
                f"the API at {self._url} does not answer: {str(exc) or type(exc).__name__}", retry_after=0
            ) from exc
        if status in (201, 207):
            return [_answer(item) for item in json.loads(body)["items"]]
        if status == 413 and len(jobs) > 1:
            raise BatchTooLarge(_detail(body))
        if status == 413:
            return [IntakeAnswer(problem=_detail(body))]
        if status == 429 or status >= 500:
            seconds = int(retry_after) if retry_after and retry_after.isdecimal() else 1
            raise Unavailable(f"the API at {self._url} answers {status}: {_detail(body)}", retry_after=seconds)
        raise IntakeRefuses(f"the API at {self._url} answers {status}: {_detail(body)}")

    def close(self) -> None:
        """Give back the connection."""
        self._connection.close()


def _answer(item: dict[str, Any]) -> IntakeAnswer:
    problem = item.get("problem")
    return IntakeAnswer(item.get("replayed", False), "" if problem is None else str(problem["detail"]))


def _detail(body: bytes) -> str:
    try:
        return str(json.loads(body)["detail"])
    except (ValueError, KeyError, TypeError):
        return ascii(body[:200])
