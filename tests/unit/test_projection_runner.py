"""When a projection takes its next step."""

from __future__ import annotations

from projections.runner import GATHER_LEAST, GATHER_MOST, POLL_FIRST, POLL_MOST, FoldedPage, Runner


class Pages:
    """A projection that folds pages of these lengths, one after the other, and then none."""

    def __init__(self, *lengths: int) -> None:
        self._left = list(lengths)
        self._at = 0

    async def fold_page(self) -> FoldedPage | None:
        before, rows = self._at, self._left.pop(0) if self._left else 0
        self._at += rows
        return FoldedPage(before=before, after=self._at, rows=rows, is_full=rows == 1_000)


async def test_after_a_full_page_it_goes_on_at_once_and_at_the_head_it_polls_ever_more_slowly() -> None:
    runner = Runner(projection=Pages(1_000, 1_000, 3))

    pauses = [await runner.step() for _ in range(8)]

    assert pauses[:4] == [0.0, 0.0, POLL_FIRST, POLL_FIRST]
    assert pauses[4:] == sorted(pauses[4:])
    assert pauses[-1] == POLL_MOST
    assert (runner.position, runner.events) == (2_003, 2_003)


async def test_the_more_a_page_held_the_longer_the_next_one_gathers() -> None:
    runner = Runner(projection=Pages(1, 60, 500, 2))

    gathered = [runner.gather]
    for _ in range(4):
        await runner.step()
        gathered.append(runner.gather)

    fresh, after_one, after_sixty, after_many, after_two = gathered
    assert fresh == GATHER_LEAST
    assert GATHER_LEAST < after_two < 2 * GATHER_LEAST  # a lone job is in the table soon, also after much load
    assert after_one < after_two < after_sixty < after_many == GATHER_MOST
