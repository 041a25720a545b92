"""Reads the statements of sql/queries, one a file, named for its question. No SQL text stands anywhere else."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import LiteralString

_PART = re.compile(r"^ *-- part: (\w+)$", re.MULTILINE)


@cache
def load_statement(name: str) -> LiteralString:
    """The text of sql/queries/<name>.sql. Raises FileNotFoundError for a name that is not there.

    A line `-- part: <name>` stands for the text of sql/parts/<name>.sql: what several statements have in common is written once.
    """
    # As trusted as literals: files of this package.
    text = files("sql").joinpath("queries", f"{name}.sql").read_text(encoding="utf-8")
    return _PART.sub(lambda line: _load_part(line[1]), text)


def _load_part(name: str) -> str:
    return files("sql").joinpath("parts", f"{name}.sql").read_text(encoding="utf-8")
