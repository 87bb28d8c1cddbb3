"""Packages with entry points, as pip would install them."""

from __future__ import annotations

from pathlib import Path


def write_dist_info(folder: Path, group: str, entry_point: str, name: str = "odd") -> None:
    """Have `folder`, once it is on `sys.path`, hold a package with one entry point in `group`.

    `entry_point` is written as in setup.cfg: `FILE = toy_listener:SPEC`.
    """
    info = folder / f"{name}-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{entry_point}\n")
