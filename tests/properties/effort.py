"""How hard the property tests try: a little on each run, far more when the environment says `PROPERTIES=long`."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings


def effort(*, quick: int, long: int, steps: int = 50) -> settings:
    """Settings for one property: so many examples, of at most `steps` rules where it is a state machine.

    No deadline for one example: other tests may keep the machine busy.
    """
    return settings(
        max_examples=long if os.environ.get("PROPERTIES") == "long" else quick,
        stateful_step_count=steps,
        deadline=None,
        # A database is made for each test, not for each example: the examples share one log on purpose.
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
    )
