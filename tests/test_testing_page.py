"""What docs/testing.md shows works as it stands there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from pages import blocks

ROOT = Path(__file__).parent.parent


def test_the_example_of_the_page_passes(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "testing.md").read_text()
    (example,) = blocks(page, "python")
    (tmp_path / "test_shown.py").write_text(example)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
