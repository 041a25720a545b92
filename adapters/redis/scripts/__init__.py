"""The scripts that run inside Redis, one a file (*.lua), and how they are read. Each is one atomic step."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def load_script(*names: str) -> str:
    """The text of <name>.lua, or of several as one script. Raises FileNotFoundError for a name that is not there."""
    return "\n".join(files(__name__).joinpath(f"{name}.lua").read_text(encoding="utf-8") for name in names)
