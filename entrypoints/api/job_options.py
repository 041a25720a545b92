"""What a new job may say beside type, payload and priority: when to run, how often, for how long, and its tags.

Their types carry the bounds of the domain, so that a body is decoded and judged in one go. What a type cannot say (a time in
range, not two waits at once, no control characters) the domain says.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from domain.limits import LONGEST_TIMEOUT, MOST_ATTEMPTS
from domain.tags import MAX_TAG_LENGTH, MAX_TAGS
from domain.waiting import LONGEST_DELAY

MOST_DELAY_SECONDS = LONGEST_DELAY.total_seconds()
MOST_TIMEOUT_SECONDS = LONGEST_TIMEOUT.total_seconds()

TAG_PATTERN = (
    "^[^\\u0000-\\u001f\\u007f-\\u009f]*$"  # none a control character; for the documentation, as the domain judges
)

RunAt = Annotated[
    Annotated[datetime, Meta(tz=True, examples=["2026-01-27T10:30:00Z"])] | None,
    Meta(
        description="Not before this time (RFC 3339, with its offset); one that is over means at once. Not with `delaySeconds`."
    ),
]
DelaySeconds = Annotated[
    Annotated[float, Meta(ge=0, le=MOST_DELAY_SECONDS)] | None,
    Meta(description="Not before so many seconds are over. Not with `runAt`."),
]
MaxAttempts = Annotated[
    Annotated[int, Meta(ge=1, le=MOST_ATTEMPTS)] | None,
    Meta(description="How many attempts there may be in all; else as the job type says, or MAX_ATTEMPTS."),
]
TimeoutSeconds = Annotated[
    Annotated[float, Meta(ge=0.001, le=MOST_TIMEOUT_SECONDS)] | None,
    Meta(description="How long each attempt may take; else as the job type says, or JOB_TIMEOUT_SECONDS."),
]
IdempotencyKey = Annotated[
    Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[\x20-\x7e]*$")] | None,
    Meta(
        description="As the header Idempotency-Key of a job that is posted alone: sent again with the same bytes, it gives "
        "the same job; with others, 422."
    ),
]
Tags = Annotated[
    Annotated[
        tuple[
            Annotated[
                str,
                Meta(min_length=1, max_length=MAX_TAG_LENGTH, extra_json_schema={"pattern": TAG_PATTERN}),
            ],
            ...,
        ],
        Meta(max_length=MAX_TAGS),
    ]
    | None,
    Meta(
        description="Words of the caller's own to find the job by. They are kept for ever: nothing personal, nothing secret."
    ),
]
