"""A batch of commands as the arrays that append_events takes.

Encoded before the log's lock is taken, and once, whatever has to be sent again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from adapters.postgres.arrays import Array, bytea_array, int4_array, text_array, utf8_array, uuid_array, uuid_bytes
from commands.ports import Append
from commands.stretches import in_stretches
from domain.events import encode_data, type_name

# Commands that are encoded, and answers that are read, without a turn for others: as many as an ordinary batch holds at most.
AT_ONCE = 1_000
AT_A_TIME = 200  # where there are more: about a millisecond each


class Encoded(Struct, frozen=True):
    """A command as the arrays hold it."""

    command: Append
    job_id: bytes
    actor: bytes
    key: bytes | None
    types: list[str]
    datas: list[bytes]
    size: int  # about so many bytes


def encoded_command(command: Append) -> Encoded:
    """The command, encoded. Raises ValueError for a job id that is no UUID, and for an actor or key with a lone surrogate."""
    datas = [encode_data(new.event) for new in command.events]
    key = command.key.key.encode() if command.key else None
    types = [type_name(new.event) for new in command.events]
    size = 0
    for data, new in zip(datas, command.events, strict=True):
        size += len(data) + 100 + (len(new.content) if new.content else 0)
    return Encoded(command, uuid_bytes(command.job_id), command.actor.encode(), key, types, datas, size)


async def parameters_of(batch: list[Encoded]) -> list[Array]:
    """The statement's parameters; others have a turn where there are many."""
    columns = _Columns(keyed=any(encoded.key is not None for encoded in batch))
    if len(batch) <= AT_ONCE:
        columns.add(enumerate(batch))
        return list(columns.packed())
    async for part in in_stretches(_parts(batch)):
        columns.add(part)
    return [packed async for packed in in_stretches(columns.packed())]


def _parts(batch: list[Encoded]) -> Iterator[Iterable[tuple[int, Encoded]]]:
    for begin in range(0, len(batch), AT_A_TIME):
        yield enumerate(batch[begin : begin + AT_A_TIME], start=begin)


class _Columns:
    """The events of a batch as the arrays that append_events takes."""

    def __init__(self, *, keyed: bool) -> None:
        self._keyed = keyed
        self._numbers: list[int] = []
        self._job_ids: list[bytes] = []
        self._versions: list[int] = []
        self._types: list[str] = []
        self._datas: list[bytes] = []
        self._contents: list[bytes | None] = []
        self._actors: list[bytes] = []
        self._keys: list[bytes | None] = []
        self._digests: list[bytes | None] = []

    def add(self, numbered: Iterable[tuple[int, Encoded]]) -> None:
        """The events of these commands, with the commands' places in the batch."""
        numbers, job_ids, versions = self._numbers, self._job_ids, self._versions
        contents, actors, keyed = self._contents, self._actors, self._keyed
        for number, encoded in numbered:
            command = encoded.command
            self._types += encoded.types
            self._datas += encoded.datas
            for offset, new in enumerate(command.events, start=1):
                numbers.append(number)
                job_ids.append(encoded.job_id)
                versions.append(command.expected + offset)
                contents.append(new.content)
                actors.append(encoded.actor)
                if keyed:
                    self._keys.append(encoded.key)
                    self._digests.append(command.key.digest if command.key else None)

    def packed(self) -> Iterator[Array]:
        """Each column, in the statement's order; packed when it is asked for."""
        yield int4_array(self._numbers)
        yield uuid_array(self._job_ids)
        yield int4_array(self._versions)
        yield text_array(self._types)
        yield utf8_array(self._datas)
        yield utf8_array(self._contents)
        yield utf8_array(self._actors)
        yield utf8_array(self._keys)
        yield bytea_array(self._digests)
