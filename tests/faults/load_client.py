"""One client of a load: asks for jobs, looks at some until they are over, cancels and retries a few; one thing at a time."""

from __future__ import annotations

import asyncio
from random import Random

import msgspec

from tests.faults.caller import Caller, Reply
from tests.faults.client_log import ClientLog, CommandAnswered, CommandAsked, Posted
from tests.faults.job_mix import JobMix
from tests.faults.job_requests import JobRequest, job_view, looked, many_jobs, one_job
from tests.faults.pace import Pace
from tests.faults.stories import ENDS

# How jobs are asked for.
_IN_BATCHES = 0.04  # of the requests ask for several at once
_BATCHES = (2, 3, 5, 10, 30)
_TO_WAIT = 0.05  # of them want to be answered when the job has ended
_WAITS = (1, 2)  # seconds for which an answer waits for that

_WATCHED = 0.25  # of the accepted jobs are looked at with GET, again and again until they are over
_GIVES_UP = 0.15  # of the requests without a clear answer are not tried again at once
_LOOKS = 2  # GETs of watched jobs after each POST, at the most
_LOOKS_WAIT = 0.05  # of these GETs want to be answered when the job has ended
_CANCELS, _RETRIES = 0.06, 0.06  # of the requests are followed by one, of a watched job
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0  # seconds before a request is tried again; doubled, with jitter


class LoadClient:
    """Writes down what it asks and what it is answered. `accepted`, `refused`: jobs so far. `unclear`: requests left open, with
    the last answer of that kind.
    """

    def __init__(self, number: int, *, seed: int, mix: JobMix, caller: Caller, log: ClientLog, pace: Pace) -> None:
        self.accepted = 0
        self.refused = 0
        self.unclear: list[JobRequest] = []
        self.last_unclear: Reply | None = None
        self._number = number
        self._seed = seed
        self._mix = mix
        self._caller = caller
        self._log = log
        self._pace = pace
        self._ways = Random(f"ways of client {number} of {seed}")  # how jobs are asked for
        # Not one with these: outages must not change what is asked.
        self._random = Random(f"client {number} of {seed}")
        self._watched: list[str] = []
        self._over: list[str] = []  # watched, and seen at an end
        self._to_retry: list[str] = []  # of these, the failed and the cancelled
        self._commands = 0

    async def run(self) -> None:
        """Ask for jobs at the load's pace, until it stops."""
        while await self._pace.turn(len((request := self._next()).items)):
            for wanted in request.items:
                self._log.write(wanted.asked)
            await self._ask(request)
            for _ in range(_LOOKS):
                if self._watched:
                    await self._look(self._random.choice(self._watched))
            if self._over and self._random.random() < 0.05:
                await self._look(self._random.choice(self._over))  # an end stays an end
            await self._command_sometimes()

    async def settle(self) -> None:
        """Ask again for two thirds of what is unclear, until it is clear."""
        for request in list(self.unclear):
            if self._random.random() < 1 / 3:
                continue
            while not await self._post(request):  # noqa: ASYNC110 - a question to a server, again and again
                await asyncio.sleep(_FIRST_PAUSE)
            self.unclear.remove(request)

    async def look_again(self) -> None:
        """Look at all that is watched until it is over, and at some of what was over before."""
        while self._watched:
            for job_id in list(self._watched):
                await self._look(job_id)
            if self._watched:
                await asyncio.sleep(0.1)
        for job_id in self._random.sample(self._over, min(20, len(self._over))):
            await self._look(job_id)

    def _next(self) -> JobRequest:
        way = self._ways.random()
        if way < _IN_BATCHES:
            items = [self._mix.next(of_many=True) for _ in range(self._ways.choice(_BATCHES))]
            return many_jobs(items, in_lines=self._ways.random() < 0.5)
        return one_job(self._mix.next(), waits=self._ways.choice(_WAITS) if way < _IN_BATCHES + _TO_WAIT else 0)

    async def _ask(self, request: JobRequest) -> None:
        pause = _FIRST_PAUSE
        while not await self._post(request):
            if self._pace.is_stopping or self._random.random() < _GIVES_UP:
                self.unclear.append(request)
                return
            await self._pace.pause(pause * self._random.uniform(0.5, 1.5))
            pause = min(_LONGEST_PAUSE, pause * 2)

    async def _post(self, request: JobRequest) -> bool:
        """Make the request; whether each of its jobs has a clear answer."""
        reply = await self._caller.ask(
            "POST", request.path, headers=request.headers, body=request.body, waits=request.waits
        )
        told = request.told(reply, self._number)
        for posted in told:
            self._log.write(posted)
        if (seen := request.seen(reply, self._number)) is not None:
            self._log.write(seen)
        if any(posted.answer == "unknown" for posted in told):
            self.last_unclear = reply
            return False
        for posted in told:
            await self._take_note(posted)
        return True

    async def _take_note(self, posted: Posted) -> None:
        if posted.answer == "refused":
            self.refused += 1
            return
        self.accepted += 1
        if self._random.random() < _WATCHED:
            self._watched.append(posted.job)
            await self._look(posted.job)

    async def _look(self, job_id: str) -> None:
        waits = self._random.choice(_WAITS) if self._random.random() < _LOOKS_WAIT else 0
        seen = looked(await self._caller.ask("GET", f"/jobs/{job_id}", waits=waits), job_id, self._number, waited=waits)
        self._log.write(seen)
        if seen.state in ENDS and job_id in self._watched:
            self._watched.remove(job_id)
            self._over.append(job_id)
            if seen.state != "completed":
                self._to_retry.append(job_id)

    async def _command_sometimes(self) -> None:
        dice = self._random.random()
        if dice < _CANCELS and self._watched:
            await self._command("cancel", self._random.choice(self._watched))
        elif dice > 1 - _RETRIES and self._over:
            # Those that may live again; at times one that may not.
            job_id = self._random.choice(self._to_retry or self._over)
            if await self._command("retry", job_id) and job_id in self._to_retry:
                self._over.remove(job_id)
                self._to_retry.remove(job_id)
                self._watched.append(job_id)

    async def _command(self, command: str, job_id: str) -> bool:
        """Ask for it, once; whether it may have been carried out."""
        self._commands += 1
        reason = f"{command} {self._seed}-{self._number}-{self._commands}"
        self._log.write(CommandAsked(reason, "retry" if command == "retry" else "cancel", job_id, self._number))
        reply = await self._caller.ask(
            "POST",
            f"/jobs/{job_id}/{command}",
            headers="content-type: application/json\r\n",
            body=msgspec.json.encode({"reason": reason}),
        )
        job, times = job_view(reply), (reply.api, reply.began, reply.ended)
        self._log.write(
            CommandAnswered(
                reason, job_id, *times, reply.answer, reply.status, job.version, job.status, error=reply.error
            )
        )
        return reply.answer != "refused"
