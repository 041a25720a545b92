"""Makes an installed package for tests: modules and a `.dist-info` with entry points, as pip would have left them."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path


def install_job_types(
    site: Path, *, package: str, modules: Mapping[str, str], job_types: Mapping[str, str], version: str = "1.0"
) -> None:
    """Put `modules` (name to source) and the entry points `job_types` (name to "module:attribute") into the directory `site`."""
    for name, source in modules.items():
        (site / f"{name}.py").write_text(source)
    info = site / f"{package}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    lines = [f"{name} = {target}" for name, target in job_types.items()]
    (info / "entry_points.txt").write_text("\n".join(["[jobledger.job_types]", *lines, ""]))
    importlib.invalidate_caches()
