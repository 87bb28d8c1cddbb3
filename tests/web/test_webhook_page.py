"""docs/webhook.md says what is."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocean_actors.listeners.webhook.intake import OFFER_SECONDS
from ocean_actors.settings import HttpSettings, WebhookSettings
from ocean_actors.web import channel, log, parser
from ocean_actors.web.answers import RETRY
from ocean_actors.web.signature import REMEMBERED

PAGE = (Path(__file__).parents[2] / "docs" / "webhook.md").read_text()
LISTENER = WebhookSettings(app_host="https://here.example")


@pytest.mark.parametrize(
    "said",
    [
        f"| connections | {channel.CONNECTIONS} |",
        f"| silence | {channel.IDLE_SECONDS} s |",
        f"| a whole request | {channel.REQUEST_SECONDS:.0f} s |",
        f"| request line and headers | {parser.HEAD_BYTES // 1024} KiB |",
        f"| bodies that are arriving | {channel.ARRIVING_BYTES // 1024**2} MiB |",
        f"| calls at work | `http.threads` ({HttpSettings().threads}) |",
        f"| {channel.LINGER_SECONDS:.0f} s, {channel.LINGER_BYTES // 1024**2} MiB |",
        f"`http.maxBodyBytes` ({HttpSettings().max_body_bytes // 1024**2} MiB)",
        f"at most {log.BURST} lines a minute",
        f"`signatureTolerance` seconds ({LISTENER.signature_tolerance:.0f})",
        f"`checkInterval` seconds ({LISTENER.check_interval:.0f})",
        f"a million at most ({REMEMBERED * 8 // 1024**2} MiB)",
        f"`Retry-After: {RETRY['Retry-After']}`",
    ],
)
def test_the_page_names_the_limits_that_are_set(said: str) -> None:
    assert said in PAGE


def test_the_page_says_within_a_second() -> None:
    assert OFFER_SECONDS == 1.0
    assert log.SECONDS == 60.0
    assert "within a second" in PAGE
