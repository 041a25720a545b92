"""Long work in stretches: who else wants the event loop has it in between."""

from __future__ import annotations

import asyncio

from commands.stretches import in_stretches


async def test_others_have_a_turn_after_each_stretch_and_not_after_each_item() -> None:
    clock = [0.0]
    seen: list[int | str] = []

    async def other() -> None:
        while True:
            seen.append("other")
            await asyncio.sleep(0)

    others = asyncio.create_task(other())
    async for item in in_stretches(range(7), seconds=3.0, now=lambda: clock[0]):
        seen.append(item)
        clock[0] += 1.0
    others.cancel()

    assert seen == [0, 1, 2, "other", 3, 4, 5, "other", 6]


async def test_a_few_items_are_done_at_once() -> None:
    begun = asyncio.Event()
    asyncio.get_running_loop().call_soon(begun.set)

    assert [item async for item in in_stretches("abc", now=lambda: 0.0)] == ["a", "b", "c"]
    assert not begun.is_set()
