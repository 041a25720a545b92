"""Where a random history takes its choices from: hypothesis (small, can be shrunk) or a seed (large, quick to make)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Protocol, TypeVar

from hypothesis import strategies as st

T = TypeVar("T")


class Dice(Protocol):
    """A source of choices."""

    def pick(self, options: Sequence[T]) -> T:
        """One of `options`; the first is the simplest."""


class DrawnDice:
    """Choices that hypothesis makes, and shrinks towards the first option."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw

    def pick(self, options: Sequence[T]) -> T:
        return options[self._draw(st.integers(0, len(options) - 1))]


class SeededDice:
    """Choices from a seed: the same seed, the same history."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def pick(self, options: Sequence[T]) -> T:
        return self._random.choice(options)
