"""What runs the long-running processes: their own end ends them, and nothing that another task raises."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from entrypoints.process import run_to_its_end, stop_on_signals


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_a_task_that_exits_ends_neither_the_loop_nor_its_neighbours(kind: type[BaseException]) -> None:
    ended: list[object] = []

    async def exits() -> None:
        raise kind(3)

    async def waits_for_one_that_exits() -> None:
        try:
            await asyncio.create_task(exits())
        except kind as exc:
            ended.append(type(exc))

    async def neighbour() -> None:
        await asyncio.sleep(0.05)
        ended.append("neighbour")

    async def main() -> None:
        with stop_on_signals():
            await asyncio.gather(neighbour(), *(waits_for_one_that_exits() for _ in range(3)))

    run_to_its_end(main())
    assert ended == [kind, kind, kind, "neighbour"]


@pytest.mark.parametrize("error", [ValueError("its own"), SystemExit(3)])
def test_what_the_process_itself_raises_comes_out(error: BaseException) -> None:
    async def main() -> None:
        with stop_on_signals():
            raise error

    with pytest.raises(type(error)):
        run_to_its_end(main())


def test_ctrl_c_before_the_process_listens_to_signals_ends_it() -> None:
    async def main() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(60)

    with pytest.raises(KeyboardInterrupt):
        run_to_its_end(main())
