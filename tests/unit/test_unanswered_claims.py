"""What a worker makes of the time in which a claim of its own is in the log, and the answer to it still out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from commands.liveness import HeartbeatAnswer
from commands.ports import Answer, Append
from domain.events import Started
from tests.unit.test_worker import World, noop
from tests.until import until


@asynccontextmanager
async def _with_a_claim_unanswered(world: World) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """A job that the worker has claimed, and what lets the answer come."""
    job_id = await world.post("NOOP")
    may_answer = asyncio.Event()
    append = world.log.append

    async def answer_late(commands: Sequence[Append]) -> list[Answer]:
        answers = await append(commands)
        if isinstance(commands[0].events[0].event, Started):
            await may_answer.wait()
        return answers

    world.log.append = answer_late  # type: ignore[method-assign]
    working = asyncio.create_task(world.worker.run())
    await world.until_state(job_id, "Started")
    try:
        yield job_id, may_answer
    finally:
        may_answer.set()
        world.worker.stop()
        await working
        await world.worker.finish(grace=5.0)
        world.threads.shutdown()


async def test_a_claim_whose_answer_is_out_is_no_stray() -> None:
    world = World(noop)
    async with _with_a_claim_unanswered(world) as (job_id, may_answer):
        world.worker.hear(HeartbeatAnswer(alive=True, cancelled=[], closed=[], strays=[job_id]))
        await asyncio.sleep(0)
        assert not world.worker._background
        may_answer.set()
        await world.until_state(job_id, "Completed")
    assert world.types_of(job_id) == ["Created", "Started", "Completed"]


async def test_a_worker_whose_last_claim_is_unanswered_has_not_ended() -> None:
    world = World(noop)
    async with _with_a_claim_unanswered(world):
        world.worker.stop()
        assert not await world.worker.finish(grace=0.05)


async def test_what_was_claimed_under_a_name_that_was_given_up_meanwhile_is_not_run() -> None:
    world = World(noop)
    async with _with_a_claim_unanswered(world) as (job_id, may_answer):
        world.log.workers.discard("w1")
        world.log.workers.add("w2")
        world.worker.begin_anew("w2")
        may_answer.set()
        await until(lambda: world.left_in_queue() == 0, saw=world.left_in_queue)
    assert world.types_of(job_id) == ["Created", "Started"]
