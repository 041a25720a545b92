"""Which API key a command is to send: that of --key-file, or JOBLEDGER_API_KEY; never one of the command line."""

from __future__ import annotations

import re
from pathlib import Path

from domain.errors import JobledgerError
from entrypoints.settings import Settings

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, section 2.1; a proxy may want tokens of its own kind


class UnusableKey(JobledgerError):
    """What should be a key's token is none, or cannot be read. The text says nothing of it."""

    code = "unusable_key"


def token_of(settings: Settings, key_file: Path | None) -> str:
    """The token; empty: none is given. Raises UnusableKey."""
    if key_file is None:
        token, place = settings.jobledger_api_key.strip(), "JOBLEDGER_API_KEY"
    else:
        place = f"the key file {key_file}"
        try:
            token = key_file.read_text(encoding="ascii").strip()
        except OSError as exc:
            raise UnusableKey(f"{place} cannot be read: {exc.strerror or exc}") from exc
        except UnicodeDecodeError as exc:
            raise UnusableKey(f"{place} holds no token: it must be one line such as jl_…") from exc
        if not token:
            raise UnusableKey(f"{place} is empty")
    if token and not _TOKEN.fullmatch(token):
        raise UnusableKey(f"{place} holds no token: it must be one line such as jl_…")
    return token
