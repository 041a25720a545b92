"""The load: many clients at once, each with its own seeded mix of jobs, who log what they asked and what they were answered.

In a test:

    async with Load(run.requests(), apis, seed=7) as load:
        running = asyncio.create_task(load.run())    # or run(seconds=20), run(jobs=500)
        await until(lambda: load.accepted > 200)
        ...                                          # break things
        load.stop()
        await running
        ...                                          # heal things
        await load.settle()                          # some of what is unknown is asked again, with its key
        ...                                          # let the queue drain
        await load.look_again()                      # a last GET of every job that was watched

As a program: `python -m tests.faults.load LOG API_URL…`; SIGTERM stops it, and it then settles.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self

import msgspec
from msgspec import Struct

from tests.faults.client_log import Answer, ClientLog, Got, LoadBegan, Posted
from tests.faults.http_connection import HttpAnswer, HttpConnection
from tests.faults.job_mix import HOSTILE_MIX, USUAL_MIX, JobMix, Wanted

_WATCHED = 0.25  # of the accepted jobs are looked at with GET, again and again until they are over
_GIVES_UP = 0.15  # of the requests without a clear answer are not tried again at once
_LOOKS = 2  # GETs of watched jobs after each POST, at the most
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0  # seconds before a request is tried again; doubled, with jitter
_ENDED = ("completed", "failed", "cancelled")


class _Accepted(Struct, frozen=True):
    job_id: str = msgspec.field(name="jobId")


class _Seen(Struct, frozen=True):
    version: int
    status: str


_accepted = msgspec.json.Decoder(_Accepted).decode
_seen = msgspec.json.Decoder(_Seen).decode


class Load:
    """So many `clients` over `apis` (base URLs; may be changed while it runs). An async context manager around its log.

    `rate`: jobs a second of all clients together; None: as fast as they are answered. `timeout`: seconds that a request may
    take before its outcome counts as unknown. `accepted`, `refused` and `unclear` count jobs so far: those that were answered
    with 201, with 4xx, and not at all (yet).
    """

    def __init__(
        self,
        log: Path,
        apis: Sequence[str],
        *,
        seed: int,
        clients: int = 8,
        rate: float | None = None,
        timeout: float = 5.0,
        mix: Mapping[str, float] = USUAL_MIX,
    ) -> None:
        self.apis = list(apis)
        self.accepted = 0
        self.refused = 0
        self._seed = seed
        self._log = ClientLog(log)
        self._pace = None if rate is None else 1 / rate
        self._next_at = 0.0
        self._left: int | None = None  # jobs that may still be asked for
        self._stopping = asyncio.Event()
        self._timeout = timeout
        self._clients = [_Client(self, number, JobMix(seed, number, weights=mix)) for number in range(clients)]

    async def __aenter__(self) -> Self:
        self._log.__enter__()
        self._log.write(LoadBegan(self._seed, time.monotonic(), time.time()))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in self._clients:
            client.close()
        self._log.__exit__(kind, exc, trace)

    @property
    def unclear(self) -> int:
        """Jobs of which nobody knows yet whether they were accepted."""
        return sum(len(client.unclear) for client in self._clients)

    async def run(self, *, jobs: int | None = None, seconds: float | None = None) -> None:
        """Ask for jobs until `stop`, or so many, or for so long. May be called again."""
        self._stopping.clear()
        self._left = jobs
        self._next_at = time.monotonic()
        timer = None if seconds is None else asyncio.get_running_loop().call_later(seconds, self.stop)
        try:
            async with asyncio.TaskGroup() as tasks:
                for client in self._clients:
                    tasks.create_task(client.run())
        finally:
            if timer is not None:
                timer.cancel()

    def stop(self) -> None:
        """Let `run` end: requests under way are awaited, none is tried again."""
        self._stopping.set()

    async def settle(self, *, within: float = 30.0) -> None:
        """Ask again, with its key, for two thirds of what is unclear, until each has a clear answer. The rest stays unknown.

        Raises TimeoutError when the service does not answer clearly.
        """
        async with asyncio.timeout(within), asyncio.TaskGroup() as tasks:
            for client in self._clients:
                tasks.create_task(client.settle())

    async def look_again(self, *, within: float = 60.0) -> None:
        """GET every watched job until each has been seen at an end. Raises TimeoutError."""
        async with asyncio.timeout(within), asyncio.TaskGroup() as tasks:
            for client in self._clients:
                tasks.create_task(client.look_again())

    # For its clients

    @property
    def is_stopping(self) -> bool:
        return self._stopping.is_set()

    async def pause(self, seconds: float) -> None:
        """Return after so many seconds, or when the load is stopped."""
        if seconds > 0:
            try:
                await asyncio.wait_for(self._stopping.wait(), seconds)
            except TimeoutError:
                return

    async def turn(self) -> bool:
        """Wait until the next job may be asked for; False when none is wanted any more."""
        if self.is_stopping or self._left == 0:
            return False
        if self._left is not None:
            self._left -= 1
        if self._pace is not None:
            now = time.monotonic()
            at, self._next_at = max(self._next_at, now - 1.0), max(self._next_at, now - 1.0) + self._pace
            await self.pause(at - now)
        return not self.is_stopping


class _Client:
    """One caller: does one thing after the other."""

    def __init__(self, load: Load, number: int, mix: JobMix) -> None:
        self.unclear: list[Wanted] = []
        self._load = load
        self._number = number
        self._mix = mix
        self._random = Random(
            f"client {number} of {load._seed}"
        )  # not the mix's: outages must not change what is asked
        self._connections: dict[str, HttpConnection] = {}
        self._watched: list[str] = []
        self._over: list[str] = []  # watched, and seen at an end
        self._turn = number

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()

    async def run(self) -> None:
        while await self._load.turn():
            wanted = self._mix.next()
            self._load._log.write(wanted.asked)
            await self._ask(wanted)
            for _ in range(_LOOKS):
                if self._watched:
                    await self._look(self._random.choice(self._watched))
            if self._over and self._random.random() < 0.05:
                await self._look(self._random.choice(self._over))  # an end stays an end

    async def settle(self) -> None:
        waiting, self.unclear = self.unclear, []
        for wanted in waiting:
            if self._random.random() < 1 / 3:
                self.unclear.append(wanted)
                continue
            while await self._post(wanted) == "unknown":  # noqa: ASYNC110 - a question to a server, again and again
                await asyncio.sleep(_FIRST_PAUSE)

    async def look_again(self) -> None:
        while self._watched:
            for job_id in list(self._watched):
                await self._look(job_id)
            if self._watched:
                await asyncio.sleep(0.1)
        for job_id in self._random.sample(self._over, min(20, len(self._over))):
            await self._look(job_id)

    async def _ask(self, wanted: Wanted) -> None:
        pause = _FIRST_PAUSE
        while await self._post(wanted) == "unknown":
            if self._load.is_stopping or self._random.random() < _GIVES_UP:
                self.unclear.append(wanted)
                return
            await self._load.pause(pause * self._random.uniform(0.5, 1.5))
            pause = min(_LONGEST_PAUSE, pause * 2)

    async def _post(self, wanted: Wanted) -> Answer:
        key = wanted.asked.key
        kind = f"content-type: {wanted.content_type}\r\n" if wanted.content_type else ""
        api = self._next_api()
        began = time.monotonic()
        answer, error = await self._request(api, "POST", "/jobs", f"{kind}idempotency-key: {key}\r\n", wanted.body)
        ended = time.monotonic()
        outcome, status = _judged(answer)
        job_id = _accepted(answer.body).job_id if answer is not None and outcome == "ok" else ""
        replayed = answer is not None and "idempotency-replayed" in answer.headers
        self._load._log.write(Posted(key, self._number, api, began, ended, outcome, status, job_id, replayed, error))
        if outcome == "ok":
            self._load.accepted += 1
            if self._random.random() < _WATCHED:
                self._watched.append(job_id)
                await self._look(job_id)
        elif outcome == "refused":
            self._load.refused += 1
        return outcome

    async def _look(self, job_id: str) -> None:
        api = self._next_api()
        began = time.monotonic()
        answer, error = await self._request(api, "GET", f"/jobs/{job_id}", "", b"")
        ended = time.monotonic()
        outcome, status = _judged(answer)
        seen = _seen(answer.body) if answer is not None and outcome == "ok" else _Seen(0, "")
        self._load._log.write(
            Got(job_id, self._number, api, began, ended, outcome, status, seen.version, seen.status, error)
        )
        if seen.status in _ENDED and job_id in self._watched:
            self._watched.remove(job_id)
            self._over.append(job_id)

    async def _request(
        self, api: str, method: str, path: str, headers: str, body: bytes
    ) -> tuple[HttpAnswer | None, str]:
        connection = self._connections.get(api)
        if connection is None:
            connection = self._connections[api] = HttpConnection(api)
        try:
            answer = await connection.request(method, path, headers=headers, body=body, timeout=self._load._timeout)
        except OSError as exc:
            return None, f"{type(exc).__name__}: {exc}"
        return answer, ""

    def _next_api(self) -> str:
        # Another one each time: so what one process has accepted is asked of the other.
        self._turn += 1
        apis = self._load.apis
        return apis[self._turn % len(apis)]


def _judged(answer: HttpAnswer | None) -> tuple[Answer, int]:
    if answer is None:
        return "unknown", 0
    if 200 <= answer.status < 300:
        return "ok", answer.status
    return ("refused" if 400 <= answer.status < 500 else "unknown"), answer.status


async def _main() -> None:
    parser = argparse.ArgumentParser(
        description="Asks the APIs for jobs until SIGTERM or SIGINT, and logs every answer."
    )
    parser.add_argument("log", type=Path)
    parser.add_argument("apis", nargs="+", metavar="API_URL")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--hostile", action="store_true")
    given = parser.parse_args()
    mix = HOSTILE_MIX if given.hostile else USUAL_MIX
    async with Load(given.log, given.apis, seed=given.seed, clients=given.clients, rate=given.rate, mix=mix) as load:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, load.stop)
        await load.run(jobs=given.jobs, seconds=given.seconds)
        await load.settle()
        sys.stdout.write(f"accepted {load.accepted}, refused {load.refused}, unclear {load.unclear}\n")


if __name__ == "__main__":
    asyncio.run(_main())
