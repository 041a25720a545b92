"""The state diagram in docs/architecture.md, made from the domain's own table.

`python -m tests.state_diagram` writes it anew; tests/unit/test_docs.py fails while the two differ.
"""

from __future__ import annotations

import re
from pathlib import Path

from domain.job import STATUS_AFTER, TRANSITIONS

PAGE = Path(__file__).parents[1] / "docs" / "architecture.md"

_DIAGRAM = re.compile(r"(?<=<!-- state diagram -->\n).*?(?=<!-- end of the state diagram -->)", re.DOTALL)


def state_diagram() -> str:
    """A mermaid block: one arrow a legal pair of events, one box a status. The states are the types of the newest event."""
    order = ["", *STATUS_AFTER]
    pairs = sorted(TRANSITIONS, key=lambda pair: (order.index(pair[0]), order.index(pair[1])))
    ends = [state for state in STATUS_AFTER if all(before != state for before, _ in TRANSITIONS)]
    lines = ["```mermaid", "stateDiagram-v2"]
    lines += [f"    {before or '[*]'} --> {after}" for before, after in pairs]
    lines += [f"    {state} --> [*]" for state in ends]
    lines += [f"    {state}: {state} ({status})" for state, status in STATUS_AFTER.items()]
    return "\n".join([*lines, "```\n"])


def written_diagram() -> str:
    """What stands in the page now."""
    found = _DIAGRAM.search(PAGE.read_text())
    assert found is not None, f"{PAGE} has no place for the diagram"
    return found.group()


if __name__ == "__main__":
    PAGE.write_text(_DIAGRAM.sub(lambda _: state_diagram(), PAGE.read_text()))
