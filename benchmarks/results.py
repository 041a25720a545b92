"""What was measured, as JSON: one file a work, so that one that is measured again replaces its own figures and no others."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from benchmarks.bench import Figures, Sizes, Work


class Result(Struct, frozen=True, kw_only=True):
    """One work's figures with everything that one must know to judge them."""

    name: str
    title: str
    unit: str
    is_less_better: bool
    per: str
    about: str
    measured_at: str  # UTC, to the minute
    machine: dict[str, str]
    versions: dict[str, str]
    servers: dict[str, str]
    sizes: Sizes
    contenders: list[Figures]

    def best(self, side: str) -> Figures | None:
        """The best contender of a side, by its median."""
        own = [figures for figures in self.contenders if figures.side == side]
        if not own:
            return None
        return min(own, key=lambda figures: figures.median if self.is_less_better else -figures.median)

    def sides(self) -> list[Figures]:
        """The best of each side, in the order in which they were measured."""
        found = [self.best(side) for side in dict.fromkeys(figures.side for figures in self.contenders)]
        return [figures for figures in found if figures is not None]


def result_of(
    work: Work,
    contenders: list[Figures],
    *,
    measured_at: str,
    machine: dict[str, str],
    versions: dict[str, str],
    servers: dict[str, str],
    sizes: Sizes,
) -> Result:
    return Result(
        name=work.name,
        title=work.title,
        unit=work.unit,
        is_less_better=work.is_less_better,
        per=work.per,
        about=work.about,
        measured_at=measured_at,
        machine=machine,
        versions=versions,
        servers=servers,
        sizes=sizes,
        contenders=contenders,
    )


def save(result: Result, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode(result), indent=1)
    (directory / f"{result.name}.json").write_bytes(text + b"\n")


def load_all(directory: Path, names: list[str]) -> list[Result]:
    """The results that there are of these works, in this order."""
    files = [directory / f"{name}.json" for name in names]
    return [msgspec.json.decode(file.read_bytes(), type=Result) for file in files if file.exists()]
