"""A process under test stands still when it is told to, or has ended: whoever breaks things at random meets both."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.system.service import Process


def test_one_that_dies_instead_of_standing_still_is_not_waited_for(tmp_path: Path) -> None:
    process = Process("dying", "worker", os.environ, tmp_path)
    process.signal(signal.SIGKILL)
    process.pause()
    assert process.ended() == -signal.SIGKILL
