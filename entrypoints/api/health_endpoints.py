"""The endpoints for those who watch over the service: /health, /readyz, /livez.

They judge what `HealthReader` reads. All answers are plain JSON, red ones too, as a state is not an error of the request.
"""

from __future__ import annotations

import asyncio
from datetime import UTC
from typing import Literal

from litestar.types import Receive, Scope
from msgspec import UNSET

from commands.health import Health, HealthReader
from commands.key_ring import KeyRing
from commands.outages import READ_JOBS, WRITE_LOG, Outages
from commands.ports import Unavailable
from entrypoints.api.answers import Answer, json_answer
from entrypoints.api.models import HealthView, Liveness, PartView, Readiness

# Seconds. A stopped PostgreSQL still accepts connections and says nothing; probes usually wait for 5 seconds or more.
_READ_TIMEOUT = 3.0
# Seconds. The dispatcher reports Redis at least once a second: what is older says nothing of now.
_REPORT_MAX_AGE = 10.0


class HealthEndpoints:
    """Each method is one endpoint. `max_lag`: seconds by which the read side may be behind before /readyz turns red."""

    def __init__(self, *, health: HealthReader, outages: Outages, keys: KeyRing, max_lag: float) -> None:
        self._health = health
        self._outages = outages
        self._keys = keys
        self._max_lag = max_lag
        self._reading: asyncio.Task[Health] | None = None

    async def health(self, scope: Scope, receive: Receive) -> Answer:
        """GET /health: 200 as long as the API can do its work; parts that are not ok are named."""
        try:
            health = await self._read()
        except Unavailable:
            return self._answer({"postgres": PartView("unreachable")}, is_working=False)
        if not health.schema_fits:
            return self._answer({"postgres": PartView("schema does not fit")}, is_working=False)
        return self._answer(self._parts(health), is_working=True)

    async def readiness(self, scope: Scope, receive: Receive) -> Answer:
        """GET /readyz: 200 if requests should be sent here."""
        try:
            health = await self._read()
        except Unavailable:
            return _readiness_answer(["PostgreSQL cannot be reached"])
        if not health.schema_fits:
            return _readiness_answer(["the schema does not fit this release"])
        if self._keys.is_stale:
            return _readiness_answer(["the API keys cannot be read"])
        if self._outages.includes(WRITE_LOG):  # reading has connections of its own
            return _readiness_answer(["the log cannot be written"])
        if (health.projection_age or 0.0) > self._max_lag:
            return _readiness_answer([f"the read side is {health.projection_age:.0f} s behind the log"])
        return _readiness_answer([])

    async def liveness(self, scope: Scope, receive: Receive) -> Answer:
        """GET /livez: 200 whenever the process can answer at all; nothing else is looked at."""
        return json_answer(Liveness("ok"))

    def _answer(self, parts: dict[str, PartView], *, is_working: bool) -> Answer:
        degraded = [name for name, part in parts.items() if part.status != "ok"]
        access: Literal["open", "keys"] = "keys" if self._keys.open_to is None else "open"
        view = HealthView("ok" if is_working else "unavailable", degraded, parts, access)
        return json_answer(view, status=200 if is_working else 503)

    async def _read(self) -> Health:
        try:
            health = await self._shared_reading()
        except Unavailable as exc:
            self._outages.failed(exc, doing=READ_JOBS)
            raise
        self._outages.succeeded(doing=READ_JOBS)
        return health

    async def _shared_reading(self) -> Health:
        """One look at a time, shared by all who ask: watchers must not use up the connections of those whom they watch."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._health.read(), name="read health")
            self._reading.add_done_callback(_take_note_of_failure)
        reading = self._reading
        await asyncio.wait({reading}, timeout=_READ_TIMEOUT)  # never cancelled: others may wait for it
        if not reading.done():
            raise Unavailable(f"PostgreSQL has been silent for {_READ_TIMEOUT:g} seconds", dependency="PostgreSQL")
        return reading.result()

    def _parts(self, health: Health) -> dict[str, PartView]:
        lag = max(0, health.head - health.projected)
        lag_seconds = round(max(0.0, health.projection_age or 0.0), 3)
        return {
            "postgres": PartView("ok"),
            "redis": _redis(health),
            "dispatcher": PartView(
                "missing" if health.dispatcher is None else "ok",
                detail=health.dispatcher or "nobody holds the lease",
                lag=max(0, health.head - health.relayed),
            ),
            "projector": PartView("ok" if lag_seconds <= self._max_lag else "behind", lag=lag, lag_seconds=lag_seconds),
            "workers": _workers(health),
        }


def _redis(health: Health) -> PartView:
    at = health.redis_reported_at
    reported_at = UNSET if at is None else at.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
    if health.redis_report_age is None or health.redis_report_age > _REPORT_MAX_AGE:
        return PartView("unknown", detail="no dispatcher has reported lately", reported_at=reported_at)
    if health.redis_state in ("ok", "unknown"):
        return PartView(health.redis_state, reported_at=reported_at)
    # An error's own text, which may hold addresses: not for everyone who can reach this page.
    return PartView("failing", detail="the dispatcher's log says why", reported_at=reported_at)


def _workers(health: Health) -> PartView:
    able = health.workers - health.workers_unable
    if not health.workers:
        return PartView("missing", count=0)
    if not able:
        return PartView("failing", detail="none of them can claim jobs", count=health.workers)
    said = [
        f"{number} of {health.workers} {what}"
        for number, what in (
            (health.workers_direct, "claim jobs directly from PostgreSQL, as Redis cannot be used"),
            (health.workers_unable, "cannot claim jobs"),
        )
        if number
    ]
    return PartView("degraded" if said else "ok", detail="; ".join(said) or UNSET, count=health.workers)


def _readiness_answer(reasons: list[str]) -> Answer:
    view = Readiness("not ready" if reasons else "ready", reasons)
    return json_answer(view, status=503 if reasons else 200)


def _take_note_of_failure(reading: asyncio.Task[Health]) -> None:
    if not reading.cancelled():
        reading.exception()  # those who waited have seen it; if nobody did, that is no error either
