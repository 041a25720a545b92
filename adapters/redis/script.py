"""One script and the client that it runs through: a single round trip, and two where the server has not seen it yet."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha1
from typing import Any

from redis.asyncio import Redis
from redis.client import NEVER_DECODE
from redis.exceptions import NoScriptError

from adapters.redis.scripts import load_script

Argument = str | bytes | int


class Script:
    """scripts/<name>.lua, or several files as one script. Calling it answers what it returns."""

    def __init__(self, client: Redis, *names: str) -> None:
        self._client = client
        self._text = load_script(*names)
        self._digest = sha1(self._text.encode(), usedforsecurity=False).hexdigest()  # the name that Redis gives it

    async def __call__(self, keys: Sequence[str], *arguments: Argument, packed: bool = False) -> Any:
        """Run it. `packed`: it answers bytes (MessagePack), not text. Raises redis.RedisError.

        A script that the server does not know (restarted, SCRIPT FLUSH) has done nothing, so sending its text is safe.
        """
        options = {NEVER_DECODE: True} if packed else {}
        run = self._client.execute_command
        try:
            return await run(  # type: ignore[no-untyped-call]  # redis-py has no types there
                "EVALSHA", self._digest, len(keys), *keys, *arguments, **options
            )
        except NoScriptError:
            return await run("EVAL", self._text, len(keys), *keys, *arguments, **options)  # type: ignore[no-untyped-call]
