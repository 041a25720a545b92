"""Shows how far a worker's attempts are: whatever they say, a statement or two a second, and none where nothing is new."""

from __future__ import annotations

from commands.progress import Attempt, ProgressBoard
from commands.running_attempts import RunningAttempts

SHOW_EVERY = 0.4  # seconds: people watch it, and a job that is over sooner costs nothing


class ProgressKeeper:
    """Takes from what runs the newest that each attempt said, and keeps the board at it. Belongs to one event loop."""

    def __init__(self, *, running: RunningAttempts, board: ProgressBoard) -> None:
        self._running = running
        self._board = board
        # What the board shows of each attempt; None where that is not known, as after an answer that was lost.
        self._shown: dict[Attempt, tuple[float, str] | None] = {}

    async def step(self) -> float:
        """Show what is new and take down what is over, by one statement; the seconds until the next look.

        Raises Unavailable; the next step then shows what is the newest by that time.
        """
        said = self._running.progress()
        news = {attempt: newest for attempt, newest in said.items() if newest != self._shown.get(attempt)}
        over = self._shown.keys() - said.keys()
        if news or over:
            self._shown |= dict.fromkeys(news)
            await self._board.show(news, over=over)
            self._shown = dict(said)
        return SHOW_EVERY
