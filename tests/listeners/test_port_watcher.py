"""What the listeners that ask Port make of its answers."""

from __future__ import annotations

import pytest

from ocean_actors.actors import Backoff
from ocean_actors.frozen import EMPTY
from ocean_actors.listeners.port_watcher import Observed, PortWatcher
from ocean_actors.messages import ConfigSnapshot, PortRequest
from ocean_actors.port.client import PortClient
from ocean_actors.settings import Settings


def test_a_request_whose_time_cannot_be_read_is_heard_with_one_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = Settings.from_dict({"port": {"clientId": "a", "clientSecret": "b"}}, {})
    client = PortClient(settings.port, settings.integration)
    watcher = PortWatcher(client, Backoff(1.0, 60.0), 60.0)
    calm = ConfigSnapshot(EMPTY, None)
    assert watcher.reason(Observed(calm, None, None), None) is None
    answer = Observed(calm, PortRequest("request-7", None), None)
    assert watcher.reason(answer, None) == "resync requested"
    assert watcher.reason(answer, None) is None
    client.close()
    assert caplog.messages == [
        "the time of Port's resync request request-7 cannot be read; its id is compared instead"
    ]
