"""The code of docs/live.md does what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from rig import Nothing, counts, serving, tell, titles
from tracker import TOKEN, Tracker
from tracker import serving as tracking

from ocean_actors.live import signatures
from ocean_actors.live.handler import LiveHandler
from ocean_actors.live.intake import LiveCounts

PAGE = (Path(__file__).parents[2] / "docs" / "live.md").read_text()


def test_the_handler_of_the_page_brings_changes_of_the_tracker_to_port() -> None:
    tracker = Tracker(projects=1, issues=2)
    with tracking(tracker) as url:
        (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
        code = code.replace("https://tracker.example.com", url)
        token = f"headers={{'Authorization': 'Token {TOKEN}'}}"
        code = code.replace("/{event['id']}\")", f"/{{event['id']}}\", {token})")
        names: dict[str, Any] = {}
        exec(compile(code, "live.md", "exec"), names)  # noqa: S102  (of our own page)
        with serving(names["IssueChanged"], Nothing) as rig:
            tracker.hook = f"{rig.system.http_url}/live/tracker"
            tracker.change("issue", "updated", {"id": "P0-1", "title": "changed"})
            rig.sandbox.wait_for(lambda: titles(rig) == {"P0-1": "changed"}, 30)
            tracker.change("issue", "deleted", {"id": "P0-1"})
            rig.sandbox.wait_for(lambda: titles(rig) == {}, 30)
            tell(rig, "P0-0", action="updated")
            rig.sandbox.wait_for(lambda: "P0-0" in titles(rig), 30)
            assert counts(rig)["dead"] == 0


def test_the_page_lists_every_helper_and_every_attribute() -> None:
    helpers = [name for name, found in vars(signatures).items() if callable(found)]
    own = [name for name in helpers if not name.startswith("_") and name != "LiveCall"]
    assert [name for name in own if f"`{name}(call" not in PAGE] == []
    tuned = [name for name in LiveHandler.__annotations__ if f"`{name}`" not in PAGE]
    assert tuned == []


def test_the_page_explains_every_count() -> None:
    assert [name for name in LiveCounts().as_data() if f"`{name}`" not in PAGE] == []
