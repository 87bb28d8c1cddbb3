"""What a live handler knows of its system: the settings, and the mapping of the newest run."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from rig import Hooked, Nothing, counts, hooked, serving, tell, titles

from ocean_actors import Backoff, Live, LiveCall, RunEnded
from ocean_actors.live.handler import LiveHandlerError
from ocean_actors.live.signatures import hmac_sha256
from ocean_actors.testing import SandboxedSystem

WITHIN = 30.0
QUICK = Backoff(initial=0.01, maximum=0.02)


def mapping(title: str) -> dict[str, Any]:
    mappings = {"identifier": ".id", "title": title, "blueprint": '"issue"'}
    entry = {"kind": "issue", "selector": {"query": ".id != null"}}
    return {"resources": [{**entry, "port": {"entity": {"mappings": mappings}}}]}


def map_it(call: LiveCall, live: Live) -> None:
    for resource in live.resources("issue"):
        live.port.upsert("issue", resource.entities([call.json()]))


def test_a_live_event_goes_through_the_mapping_of_the_newest_run() -> None:
    with serving(hooked(map_it)) as rig:
        rig.expect(RunEnded)
        rig.sandbox.set_config(rig.identifier, mapping(".text"))
        rig.expect(RunEnded)
        assert tell(rig, "A", text="first")[0] == 202
        rig.sandbox.wait_for(lambda: titles(rig) == {"A": "first"}, WITHIN)
        rig.sandbox.set_config(rig.identifier, mapping('"\\(.id): \\(.text)"'))
        rig.expect(RunEnded)
        tell(rig, "A", text="second")
        rig.sandbox.wait_for(lambda: titles(rig) == {"A": "A: second"}, WITHIN)


def test_a_live_event_before_the_first_run_is_handled_once_the_mapping_is_known() -> None:
    seen = threading.Event()

    def note(call: LiveCall, live: Live) -> None:
        seen.set()
        map_it(call, live)

    quiet = {"type": "POLLING", "interval": 0.1, "resyncOnStart": False}
    with serving(hooked(note, attempts=1000, backoff=QUICK), eventListener=quiet) as rig:
        rig.sandbox.wait_for(lambda: rig.sandbox.integration(rig.identifier), WITHIN)
        tell(rig, "A", text="early")
        assert seen.wait(WITHIN)
        rig.sandbox.set_config(rig.identifier, mapping(".text"))
        rig.sandbox.wait_for(lambda: titles(rig) == {"A": "early"}, WITHIN)
        assert counts(rig)["dead"] == 0


def test_a_live_handler_reads_its_secret_from_the_settings() -> None:
    class Signed(Hooked):
        def authenticate(self, call: LiveCall) -> bool:
            secret = self.settings.integration.config["secret"]
            return hmac_sha256(call, secret, "X-Tracker-Signature")

    for secret, status in (("hook-secret", 202), ("another", 401)):
        integration = {"identifier": "under-test", "config": {"secret": secret}}
        with serving(Signed, integration=integration) as rig:
            rig.expect(RunEnded)
            assert tell(rig, "A")[0] == status


def test_a_live_handler_that_takes_no_settings_is_told_in_one_line() -> None:
    class Closed(Hooked):
        @property
        def settings(self) -> Any:  # type: ignore[override]  # the mistake of the test
            return None

    rig = SandboxedSystem([Nothing, Closed])
    with pytest.raises(LiveHandlerError, match=r"^handlers: Closed\.settings cannot be set: "):
        rig.__enter__()
