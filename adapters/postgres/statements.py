"""Reads the statements of sql/queries, one a file, named for its question. No SQL text stands anywhere else."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import LiteralString


@cache
def load_statement(name: str) -> LiteralString:
    """The text of sql/queries/<name>.sql. Raises FileNotFoundError for a name that is not there."""
    # As trusted as a literal: a file of this package.
    return files("sql").joinpath("queries", f"{name}.sql").read_text(encoding="utf-8")
