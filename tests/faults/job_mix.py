"""What clients ask for: a mix of jobs drawn from a seed, and for each what must come of it.

The files that exports must make are written here by the standard library's csv, a second opinion on the service's own writer.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import msgspec
from msgspec import Struct

from tests.faults.client_log import Asked, FileAsked, MailAsked
from tests.faults.hostile_bodies import HOSTILE_BODIES, HOSTILE_PAYLOADS
from tests.faults.mail_server import mail_digest

# Kind to weight. PROCESS starts a Python each time, so it is rare.
USUAL_MIX: Mapping[str, float] = {
    "TALLIED": 50,
    "TALLIED_FLAKY": 10,
    "TALLIED_SLOW": 10,
    "TALLIED_THREAD": 6,
    "TALLIED_LATER": 4,
    "TALLIED_PROCESS": 0.2,
    "CSV_EXPORT": 12,
    "EMAIL_SEND": 6,
    "refused": 2,
}
HOSTILE_MIX: Mapping[str, float] = {**USUAL_MIX, "hostile payload": 4, "hostile body": 4}

_ATTEMPTS = 3  # MAX_ATTEMPTS: a flaky job may fail for good, rarely
_WORDS = (
    "plain",
    "größe",
    "☃ 😀",
    'a "quoted" word',
    "comma, separated",
    "two\nlines",
    "=1+1",
    "-",
    "",
    "\ttab",
    "'",
    " blank ",
)


class Wanted(Struct, frozen=True):
    """A request to make: what is asked, and how it is said over HTTP."""

    asked: Asked
    body: bytes
    content_type: str = "application/json"


class JobMix:
    """Draws one client's jobs, the same for the same seed and client."""

    def __init__(self, seed: int, client: int, *, weights: Mapping[str, float] = USUAL_MIX) -> None:
        self._client = client
        self._random = Random(f"{seed}/{client}")
        self._prefix = f"{seed}-{client}"
        self._kinds, self._weights = list(weights), list(weights.values())
        self._count = 0

    def next(self, *, of_many: bool = False) -> Wanted:
        """The next job of this client. `of_many`: one that may stand among others, in one body."""
        self._count += 1
        key = f"{self._prefix}-{self._count}"
        [kind] = self._random.choices(self._kinds, self._weights)
        while of_many and kind not in USUAL_MIX:
            [kind] = self._random.choices(self._kinds, self._weights)
        return _MAKERS[kind](self, kind, key)

    def _plain(self, kind: str, key: str) -> Wanted:
        return self._job(kind, key, {"key": key})

    def _flaky(self, kind: str, key: str) -> Wanted:
        times = self._random.choice((1, 1, 1, _ATTEMPTS - 1, _ATTEMPTS))
        return self._job(kind, key, {"key": key, "times": times})

    def _slow(self, kind: str, key: str) -> Wanted:
        return self._job(kind, key, {"key": key, "seconds": self._random.choice((0.01, 0.05, 0.2, 0.5))})

    def _csv_export(self, kind: str, key: str) -> Wanted:
        rows = [self._row(number) for number in range(self._random.choice((1, 2, 5, 20)))]
        payload = {"key": key, "data": rows}
        text = expected_csv(rows)
        return self._job(kind, key, payload, file=FileAsked(hashlib.sha256(text).hexdigest(), len(rows)))

    def _email_send(self, kind: str, key: str) -> Wanted:
        subject, body = f"About {key} {self._random.choice(('', 'größe', '☃'))}".strip(), f"Dear Ann,\n{key} is done.\n"
        to = self._random.choice((["ann@example.com"], ["ann@example.com", "bob@example.com"]))
        payload = {"key": key, "to": to, "subject": subject, "body": body}
        return self._job(kind, key, payload, mail=MailAsked(to, mail_digest(subject=subject, body=body)))

    def _refused(self, kind: str, key: str) -> Wanted:
        wrong: dict[str, Any] = self._random.choice(
            ({"type": "NO_SUCH_TYPE"}, {"priority": "urgent"}, {"type": None}, {"type": 7}, {"priority": None})
        )
        body = {"type": "TALLIED", "priority": "default", "payload": {"key": key}, **wrong}
        asked = Asked(key, self._client, str(body["type"]), str(body["priority"]), _digest(body["payload"]))
        return Wanted(asked, msgspec.json.encode(body))

    def _hostile_payload(self, kind: str, key: str) -> Wanted:
        payload = b'{"key":"%b","hostile":%b}' % (key.encode(), self._random.choice(HOSTILE_PAYLOADS))
        return self._raw("TALLIED", key, payload)

    def _hostile_body(self, kind: str, key: str) -> Wanted:
        content_type, body = self._random.choice(HOSTILE_BODIES)
        return Wanted(Asked(key, self._client, "", "", hashlib.sha256(body).hexdigest()), body, content_type)

    def _row(self, number: int) -> dict[str, Any]:
        pick = self._random.choice
        row: dict[str, Any] = {"id": number, "name": pick(_WORDS), "is new": pick((True, False)), "note": pick(_WORDS)}
        if self._random.random() < 0.2:
            row["extra, rarely"] = pick((None, 10**20, "x"))
        return row

    def _job(
        self, kind: str, key: str, payload: object, *, file: FileAsked | None = None, mail: MailAsked | None = None
    ) -> Wanted:
        return self._raw(kind, key, msgspec.json.encode(payload), file=file, mail=mail)

    def _raw(
        self, kind: str, key: str, payload: bytes, *, file: FileAsked | None = None, mail: MailAsked | None = None
    ) -> Wanted:
        priority = self._random.choice(("default", "default", "high"))
        said = b"" if priority == "default" and self._random.random() < 0.5 else b'"priority":"%b",' % priority.encode()
        body = b'{"type":"%b",%b"payload":%b}' % (kind.encode(), said, payload)
        digest = hashlib.sha256(payload).hexdigest()
        return Wanted(Asked(key, self._client, kind, priority, digest, file, mail), body)


def expected_csv(rows: list[dict[str, Any]]) -> bytes:
    """The file that CSV_EXPORT must make of flat rows of texts, integers, booleans and nulls."""
    header = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([_cell(name) for name in header])
    for row in rows:
        writer.writerow([_cell(row.get(name)) for name in header])
    return text.getvalue().encode()


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return "'" + value
    return value


def _digest(payload: object) -> str:
    return hashlib.sha256(msgspec.json.encode(payload)).hexdigest()


_MAKERS: dict[str, Callable[[JobMix, str, str], Wanted]] = {
    "TALLIED": JobMix._plain,
    "TALLIED_PROCESS": JobMix._plain,
    "TALLIED_FLAKY": JobMix._flaky,
    "TALLIED_SLOW": JobMix._slow,
    "TALLIED_THREAD": JobMix._slow,
    "TALLIED_LATER": JobMix._slow,
    "CSV_EXPORT": JobMix._csv_export,
    "EMAIL_SEND": JobMix._email_send,
    "refused": JobMix._refused,
    "hostile payload": JobMix._hostile_payload,
    "hostile body": JobMix._hostile_body,
}
