"""How long the supervisor waits before it starts a part again."""

from __future__ import annotations

from datetime import timedelta

from entrypoints.supervisor import FIRST_PAUSE, LONGEST_PAUSE, RAN_WELL, next_pause

_AT_ONCE = timedelta(0)


def test_the_pause_doubles_from_a_second_to_half_a_minute_and_no_further() -> None:
    pause, seconds = None, []
    for _ in range(8):
        pause = next_pause(pause, _AT_ONCE)
        seconds.append(pause.total_seconds())
    assert seconds == [1, 2, 4, 8, 16, 30, 30, 30]


def test_a_part_that_ran_well_for_a_while_begins_with_the_first_pause_again() -> None:
    assert next_pause(LONGEST_PAUSE, RAN_WELL) == FIRST_PAUSE
    assert next_pause(LONGEST_PAUSE, RAN_WELL - timedelta(milliseconds=1)) == LONGEST_PAUSE
