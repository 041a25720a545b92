"""Installs the job types of fault_jobs.py where the service's processes find them: put the directory into their PYTHONPATH."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.packages import install_job_types

TYPES = ("", "_FLAKY", "_SLOW", "_THREAD", "_PROCESS", "_LATER", "_GATED", "_BRIEF", "_POISON")
HOSTILE_PLACES = ("LOOP", "THREAD", "PROCESS", "TASK")


def install_fault_jobs(site: Path) -> Path:
    """Make `site` a directory with the installed package; gives it."""
    site.mkdir(parents=True)
    types = {f"TALLIED{suffix}": f"fault_jobs:tallied{suffix.lower()}" for suffix in TYPES}
    install_job_types(site, package="fault_jobs", modules={}, job_types=types)
    shutil.copy(Path(__file__).with_name("fault_jobs.py"), site / "fault_jobs.py")
    return site


def install_hostile_jobs(site: Path) -> None:
    """Add those of hostile_jobs.py."""
    types = {f"HOSTILE_{place}": f"hostile_jobs:hostile_{place.lower()}" for place in HOSTILE_PLACES}
    install_job_types(site, package="hostile_jobs", modules={}, job_types=types)
    shutil.copy(Path(__file__).with_name("hostile_jobs.py"), site / "hostile_jobs.py")
