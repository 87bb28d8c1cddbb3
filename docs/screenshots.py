"""Makes the pictures of the dashboard in docs/images/: python docs/screenshots.py

Needs the packages of the extra `test`, and Chromium.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"

sys.path.insert(0, str(ROOT / "tests" / "control"))

from browser import opened  # noqa: E402
from desk import Desk, busy_night, serve  # noqa: E402

PICTURES = {
    "dashboard-light.png": (1180, 860, "light"),
    "dashboard-dark.png": (1180, 860, "dark"),
    "dashboard-narrow.png": (390, 844, "light"),
}
"""Width, height and colour scheme of each."""


def main() -> None:
    """Take each picture of the same busy integration."""
    IMAGES.mkdir(exist_ok=True)
    desk = Desk()
    busy_night(desk)
    server = serve(desk)
    try:
        with opened() as browser:
            for name, (width, height, scheme) in PICTURES.items():
                page = browser.new_page(
                    viewport={"width": width, "height": height},
                    color_scheme="dark" if scheme == "dark" else "light",
                    reduced_motion="reduce",
                )
                page.goto(server.url)
                page.locator("#timeline g.run").last.wait_for()
                page.screenshot(path=IMAGES / name)
    finally:
        server.stop()


if __name__ == "__main__":
    main()
