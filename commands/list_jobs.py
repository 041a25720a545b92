"""Pages of jobs, newest first: what is asked for, what comes back, and who answers it."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from msgspec import Struct

from domain.events import Priority
from domain.job import Job, Status


class JobFilter(Struct, frozen=True):
    """Which jobs; None: whichever. Times are of the creation: at `created_after` or later, and before `created_before`."""

    status: Status | None = None
    type: str | None = None
    priority: Priority | None = None
    tag: str | None = None  # one of its tags
    created_after: datetime | None = None
    created_before: datetime | None = None


class JobPage(Struct, frozen=True):
    """Some jobs, newest first, without their results. `cursor`: where the next page begins; None: there is none.

    A page that is not full, or empty, may well have a next one: what a page costs is bounded, also where few jobs fit.
    """

    jobs: list[Job]
    cursor: str | None


class JobLister(Protocol):
    """All jobs, page by page, in the order of their ids, which is that of their creation by the clocks of those who made them."""

    async def page(self, wanted: JobFilter, *, cursor: str | None, limit: int) -> JobPage:
        """At most `limit` jobs, after that cursor (None: from the newest on). Raises Unavailable.

        Whoever follows the cursors meets each job that fitted all the while exactly once, whatever is written meanwhile. Lists
        may lag behind single jobs, as far as the projector lags.
        """
