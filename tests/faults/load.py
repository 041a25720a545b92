"""The load: many clients at once, each with its own seeded mix of jobs, who log what they asked and what they were answered;
and followers, who log what they were shown of the log of events.

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
        await load.look_again()                      # a last GET of every job that was watched, and the rest of the log

As a program: `python -m tests.faults.load LOG API_URL…`; SIGTERM stops it, and it then settles.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.faults.caller import Caller
from tests.faults.client_log import ClientLog, LoadBegan
from tests.faults.event_follower import EventFollower
from tests.faults.job_mix import HOSTILE_MIX, USUAL_MIX, JobMix
from tests.faults.load_client import LoadClient
from tests.faults.pace import Pace

_FOLLOWED = "Completed,Failed,Cancelled,Queued"  # what every second follower wants, since the beginning


class Load:
    """So many `clients` over `apis` (base URLs). An async context manager around its log.

    `rate`: jobs a second of all clients together; None: as fast as they are answered. `timeout`: seconds that a request may
    take before its outcome counts as unknown. `followers`: how many follow the log all the while: the first all events from
    now on, the second some types since the beginning, and so on.
    """

    def __init__(
        self,
        log: Path,
        apis: Sequence[str],
        *,
        seed: int,
        clients: int = 8,
        followers: int = 0,
        rate: float | None = None,
        timeout: float = 5.0,
        mix: Mapping[str, float] = USUAL_MIX,
    ) -> None:
        self._seed = seed
        self._log = ClientLog(log)
        self._pace = Pace(rate)
        self._callers = [Caller(apis, turn=number, timeout=timeout) for number in range(clients)]
        self._clients = [
            LoadClient(
                number,
                seed=seed,
                mix=JobMix(seed, number, weights=mix),
                caller=caller,
                log=self._log,
                pace=self._pace,
            )
            for number, caller in enumerate(self._callers)
        ]
        self._followers = [
            EventFollower(f"{seed}/{number}", apis, log=self._log, types=_FOLLOWED, after=0)
            if number % 2
            else EventFollower(f"{seed}/{number}", apis, log=self._log, after=None)
            for number in range(followers)
        ]
        self._following: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._log.__enter__()
        self._log.write(LoadBegan(self._seed, time.monotonic(), time.time()))
        self._following = [asyncio.create_task(follower.run()) for follower in self._followers]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._following:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        for caller in self._callers:
            caller.close()
        self._log.__exit__(kind, exc, trace)

    @property
    def accepted(self) -> int:
        """Jobs that were answered with 201 so far."""
        return sum(client.accepted for client in self._clients)

    @property
    def refused(self) -> int:
        """Jobs that were answered with 4xx so far."""
        return sum(client.refused for client in self._clients)

    @property
    def unclear(self) -> int:
        """Jobs of which nobody knows yet whether they were accepted."""
        return sum(len(request.items) for client in self._clients for request in client.unclear)

    async def run(self, *, jobs: int | None = None, seconds: float | None = None) -> None:
        """Ask for jobs until `stop`, or about so many, or for so long. May be called again."""
        self._pace.begin(jobs)
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
        self._pace.stop()

    async def settle(self, *, within: float = 30.0) -> None:
        """Ask again, with its key, for two thirds of what is unclear, until each has a clear answer. The rest stays unknown.

        Raises TimeoutError when the service does not answer clearly.
        """
        try:
            async with asyncio.timeout(within), asyncio.TaskGroup() as tasks:
                for client in self._clients:
                    tasks.create_task(client.settle())
        except TimeoutError as exc:
            exc.add_note(f"{self.unclear} jobs are unclear: {[client.last_unclear for client in self._clients]}")
            raise

    async def look_again(self, *, within: float = 60.0) -> None:
        """GET every watched job until each has been seen at an end, and let followers see the log's end. Raises TimeoutError."""
        async with asyncio.timeout(within), asyncio.TaskGroup() as tasks:
            for client in self._clients:
                tasks.create_task(client.look_again())
        async with asyncio.timeout(within), asyncio.TaskGroup() as tasks:
            for follower in self._followers:
                tasks.create_task(follower.catch_up())


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
