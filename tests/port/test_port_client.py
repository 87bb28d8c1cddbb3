from __future__ import annotations

import logging
import re
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta, timezone
from email.utils import format_datetime, formatdate
from typing import Any

import pytest
from jumping_clock import JumpingClock
from requests.structures import CaseInsensitiveDict as Headers

from ocean_actors.actors import Cancelled, CancelToken
from ocean_actors.port.client import PortClient
from ocean_actors.port.errors import PortError
from ocean_actors.port.transport import ignore
from ocean_actors.retry import ONCE, Retry
from ocean_actors.sandbox import Sandbox
from ocean_actors.testing import ManualClock

SOON = 30  # seconds

SPOILT = ["html", "garbage", "list", "empty", "truncate"]


def methods_and_paths(sandbox: Sandbox) -> Any:
    return [f"{call.method} {call.path}" for call in sandbox.calls]


# -- the calls ---------------------------------------------------------------------------------


def test_an_unknown_integration_is_404_and_can_be_registered(
    sandbox: Sandbox, client: PortClient
) -> None:
    with pytest.raises(PortError) as caught:
        client.get_integration()
    assert caught.value.status == 404
    assert not caught.value.temporary
    created = client.create_integration({"type": "KAFKA"})
    assert created == client.get_integration()
    assert created.identifier == "demo"
    assert created.config == {}
    assert created.changelog_destination == {"type": "KAFKA"}
    assert created.resync_state is None
    assert created.updated_at is not None
    assert created.updated_at.tzinfo is timezone.utc


def test_one_that_somebody_else_registered_first_is_returned(
    sandbox: Sandbox, client: PortClient
) -> None:
    sandbox.create_integration("demo", config={"a": 1})
    assert client.create_integration({}).config == {"a": 1}


def test_an_integration_can_be_patched_but_not_with_nothing(
    sandbox: Sandbox, client: PortClient
) -> None:
    sandbox.create_integration("demo")
    patched = client.patch_integration(changelogDestination={"type": "KAFKA"})
    assert patched.changelog_destination == {"type": "KAFKA"}
    with pytest.raises(ValueError, match="resync request"):
        client.patch_integration()


def test_the_newest_resync_request_is_seen(sandbox: Sandbox, client: PortClient) -> None:
    sandbox.create_integration("demo")
    before = client.get_resync_request()
    sandbox.request_resync("demo")
    after = client.get_resync_request()
    assert after is not None
    assert after.updated_at is not None
    assert after.updated_at.tzinfo is timezone.utc
    assert before is None or before.id != after.id


def test_a_report_reaches_port(sandbox: Sandbox, client: PortClient) -> None:
    sandbox.create_integration("demo")
    client.report_resync_state({"status": "running", "lastResyncStart": "2026-10-01T08:00:00Z"})
    state = client.get_integration().resync_state
    assert state is not None
    assert state.status == "running"
    assert state.last_resync_start is not None
    assert state.last_resync_start.isoformat() == "2026-10-01T08:00:00+00:00"
    assert state.last_resync_end is None
    assert state.updated_at is not None


def test_a_report_is_sent_until_port_says_that_it_took_it(
    sandbox: Sandbox, client: PortClient
) -> None:
    sandbox.create_integration("demo")
    sandbox.fail("empty", 2, path="/resync-state$")
    client.report_resync_state({"status": "running"})
    assert sandbox.statuses("demo") == ["running"]


def test_organization_and_kafka_credentials(sandbox: Sandbox, client: PortClient) -> None:
    sandbox.configure(feature_flags=["A_FLAG"])
    sandbox.set_kafka_credentials("org_sandbox", "pass-word", ["a:1", "b:2"])
    organization = client.get_organization()
    assert organization.id == "org_sandbox"
    assert organization.feature_flags == {"A_FLAG"}
    credentials = client.get_kafka_credentials()
    assert credentials.brokers == ("a:1", "b:2")
    assert credentials.password == "pass-word"
    assert "pass-word" not in repr(credentials)


def test_identifiers_are_percent_encoded(
    sandbox: Sandbox, connect: Callable[..., PortClient]
) -> None:
    client = connect(sandbox.url, identifier="a/b ?ü")
    sandbox.create_integration("a/b ?ü")
    assert client.get_integration().identifier == "a/b ?ü"


# -- the access token --------------------------------------------------------------------------


def test_one_token_serves_many_calls_and_clones(sandbox: Sandbox, client: PortClient) -> None:
    sandbox.create_integration("demo")
    client.get_integration()
    with client.clone() as clone:
        clone.get_integration()
    assert methods_and_paths(sandbox).count("POST /v1/auth/access_token") == 1


def test_the_token_is_renewed_before_it_expires(
    sandbox: Sandbox, client: PortClient, clock: JumpingClock
) -> None:
    sandbox.create_integration("demo")
    client.get_integration()
    clock.advance(3600 - 61)
    client.get_integration()
    assert methods_and_paths(sandbox).count("POST /v1/auth/access_token") == 1
    clock.advance(2)
    client.get_integration()
    assert methods_and_paths(sandbox).count("POST /v1/auth/access_token") == 2
    assert not [call for call in sandbox.calls if call.status == 401]


def test_a_refused_token_is_renewed_once_and_the_call_repeated(
    sandbox: Sandbox, client: PortClient, clock: JumpingClock
) -> None:
    sandbox.create_integration("demo")
    client.get_integration()
    sandbox.expire_tokens()
    client.report_resync_state({"status": "running"})
    assert sandbox.statuses("demo") == ["running"]
    assert clock.waits == []


def test_a_call_that_is_refused_with_a_fresh_token_too_fails_at_once(
    sandbox: Sandbox, client: PortClient, clock: JumpingClock
) -> None:
    sandbox.fail("status", None, status=401, path="/integration")
    with pytest.raises(PortError, match="401") as caught:
        client.get_integration()
    assert not caught.value.temporary
    assert clock.waits == []


@pytest.mark.parametrize("status", [401, 403])
def test_wrong_credentials_are_told_at_once(
    sandbox: Sandbox, connect: Callable[..., PortClient], clock: JumpingClock, status: int
) -> None:
    sandbox.fail("status", None, status=status, path="/auth/access_token")
    with pytest.raises(PortError, match=r"check port\.clientId") as caught:
        connect(sandbox.url).get_integration()
    assert caught.value.status == status
    assert not caught.value.temporary
    assert "sandbox-secret" not in str(caught.value)
    assert clock.waits == []
    assert sandbox.call_count == 1


def test_a_token_call_that_fails_for_a_while_is_repeated(
    sandbox: Sandbox, client: PortClient, clock: JumpingClock
) -> None:
    sandbox.create_integration("demo")
    sandbox.fail("status", 2, status=500, path="/auth/access_token")
    client.get_integration()
    assert len(clock.waits) == 2


# -- what goes wrong for a while ---------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_call_is_repeated_on_what_passes(
    sandbox: Sandbox, client: PortClient, clock: JumpingClock, status: int
) -> None:
    sandbox.create_integration("demo")
    sandbox.fail("status", 2, status=status, path="/integration")
    client.report_resync_state({"status": "running"})
    assert sandbox.statuses("demo") == ["running"]
    assert len(clock.waits) == 2
    assert clock.waits[1] > clock.waits[0]


@pytest.mark.parametrize("kind", SPOILT)
def test_an_answer_that_cannot_be_used_is_repeated(
    sandbox: Sandbox, client: PortClient, clock: JumpingClock, kind: Any
) -> None:
    sandbox.create_integration("demo", config={"a": 1})
    sandbox.fail(kind, 2, path="/integration")
    assert client.get_integration().config == {"a": 1}
    assert len(clock.waits) == 2


@pytest.mark.parametrize("kind", SPOILT)
def test_an_answer_that_never_can_be_used_is_a_temporary_error_in_one_line(
    sandbox: Sandbox, client: PortClient, kind: Any
) -> None:
    sandbox.fail(kind, None, path="/integration")
    with pytest.raises(PortError) as caught:
        client.get_integration()
    assert caught.value.temporary
    text = str(caught.value)
    assert text.startswith(f"GET {sandbox.url}/v1/integration/demo: ")
    assert "\n" not in text
    assert "sandbox-secret" not in text


@pytest.mark.parametrize("status", [400, 403, 404, 409, 413, 422])
def test_other_refusals_are_final_and_say_what_port_said(
    sandbox: Sandbox, client: PortClient, clock: JumpingClock, status: int
) -> None:
    sandbox.fail("status", None, status=status, path="/integration")
    with pytest.raises(PortError, match=rf"GET .*/v1/integration/demo: {status} .*as ordered") as e:
        client.get_integration()
    assert e.value.status == status
    assert not e.value.temporary
    assert clock.waits == []


def test_a_refused_connection_is_temporary_and_named(
    connect: Callable[..., PortClient], clock: JumpingClock
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(PortError, match="refused") as caught:
        connect(url).get_integration(retry=Retry(attempts=3))
    assert caught.value.temporary
    assert caught.value.status is None
    assert len(clock.waits) == 2


def test_a_port_that_never_answers_is_given_up(
    sandbox: Sandbox, connect: Callable[..., PortClient]
) -> None:
    sandbox.fail("hang", None, seconds=SOON * 3)
    client = connect(sandbox.url, timeout=(SOON, 0.02))
    with pytest.raises(PortError, match="timed out while waiting for the answer"):
        client.get_integration(retry=ONCE)


def test_attempts_end_when_the_time_is_up(
    sandbox: Sandbox, client: PortClient, clock: JumpingClock
) -> None:
    sandbox.fail("status", None, status=503)
    with pytest.raises(PortError, match="503"):
        client.get_integration(retry=Retry(attempts=1000, seconds=30))
    assert sum(clock.waits) <= 30


def test_creating_is_not_repeated_since_it_may_have_worked(
    sandbox: Sandbox, client: PortClient, clock: JumpingClock
) -> None:
    sandbox.fail("empty", 1, path="/integration", applied=True)
    with pytest.raises(PortError) as caught:
        client.create_integration({})
    assert caught.value.temporary
    assert client.get_integration().identifier == "demo"


def test_failures_do_not_flood_the_log(
    sandbox: Sandbox, client: PortClient, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox.fail("status", None, status=503)
    for _ in range(10):
        with pytest.raises(PortError):
            client.get_integration(retry=Retry(attempts=4, seconds=5))
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert 0 < len(warnings) < 20


# -- how long Port asks us to wait -------------------------------------------------------------


def limited(sandbox: Sandbox, **headers: Any) -> None:
    sandbox.create_integration("demo")
    headers = {name.replace("_", "-"): str(value) for name, value in headers.items()}
    sandbox.fail("status", 1, status=429, path="/integration", headers=headers)


def test_retry_after_in_seconds_comes_first(
    sandbox: Sandbox, client: PortClient, clock: JumpingClock
) -> None:
    limited(sandbox, Retry_After=9, x_ratelimit_reset=40)
    client.get_integration()
    assert clock.waits == [9]


def test_retry_after_may_be_a_date(
    sandbox: Sandbox, client: PortClient, clock: JumpingClock
) -> None:
    moment = clock.now() + timedelta(seconds=20)
    limited(sandbox, Retry_After=format_datetime(moment, usegmt=True))
    client.get_integration()
    assert clock.waits == [20]


@pytest.mark.parametrize("epoch", [True, False])
def test_the_reset_of_a_rate_limit_is_seconds_or_a_moment(
    sandbox: Sandbox, client: PortClient, clock: JumpingClock, epoch: bool
) -> None:
    reset = int(clock.now().timestamp()) + 30 if epoch else 30
    limited(sandbox, x_ratelimit_reset=reset)
    client.get_integration()
    assert clock.waits == [30]


def test_what_cannot_be_waited_for_is_left_to_the_caller(
    sandbox: Sandbox, client: PortClient, clock: JumpingClock
) -> None:
    limited(sandbox, Retry_After=100_000)
    with pytest.raises(PortError, match="429") as caught:
        client.get_integration()
    assert caught.value.temporary
    assert caught.value.asked_wait == 100_000


# -- who we are --------------------------------------------------------------------------------


def test_the_user_agent_names_type_version_and_identifier(
    sandbox: Sandbox, client: PortClient
) -> None:
    client.get_organization()
    agent = Headers(sandbox.calls[-1].headers)["User-Agent"]
    assert re.fullmatch(r"port-ocean/custom/[0-9][^/]*/demo", agent)


def test_secrets_are_in_no_repr(client: PortClient) -> None:
    assert "sandbox-secret" not in repr(client) + repr(vars(client))


# -- the end -----------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["cancel", "close", "token"])
def test_a_hanging_call_ends_from_another_thread(
    sandbox: Sandbox, connect: Callable[..., PortClient], end: str
) -> None:
    token = CancelToken()
    client = connect(sandbox.url, token=token)
    sandbox.fail("hang", None, path="/integration", seconds=SOON * 3)
    ends: dict[str, Callable[[], object]] = {
        "cancel": lambda: client.cancel("enough"),
        "close": client.close,
        "token": lambda: token.cancel("enough"),
    }
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.get_integration)
        sandbox.wait_for(lambda: any("/integration" in call.path for call in sandbox.calls))
        ends[end]()
        with pytest.raises(Cancelled):
            call.result(SOON)
    sandbox.clear_faults()
    assert token.cancelled == (end == "token")


def test_a_pause_ends_from_another_thread(
    sandbox: Sandbox, connect: Callable[..., PortClient]
) -> None:
    client = connect(sandbox.url, clock=None)
    with ThreadPoolExecutor(1) as pool:
        pause = pool.submit(client.pause, SOON * 3)
        client.cancel("enough")
        with pytest.raises(Cancelled, match="enough"):
            pause.result(SOON)


def test_a_closed_client_leaves_nothing_behind(
    sandbox: Sandbox, connect: Callable[..., PortClient]
) -> None:
    before = set(threading.enumerate())
    token = CancelToken()
    client = connect(sandbox.url, token=token, clock=None)
    client.get_organization()
    client.pause(0.001)
    client.close()
    assert not token._callbacks
    assert not {thread for thread in threading.enumerate() if thread.name == "timers"} - before
    with pytest.raises(Cancelled):
        client.get_organization()


def test_the_skew_of_port_s_clock_is_known_from_its_answers(
    sandbox: Sandbox, connect: Any, clock: ManualClock
) -> None:
    client = connect(sandbox.url)
    assert client.clock_skew is None
    for seconds in (-20, 3600):
        port_says = formatdate(clock.now().timestamp() + seconds, usegmt=True)
        sandbox.fail("status", status=404, headers={"Date": port_says}, path="/organization")
        with pytest.raises(PortError):
            client.get_organization(ONCE)
        assert client.clock_skew == timedelta(seconds=seconds)
    sandbox.fail("status", status=404, headers={"Date": "no date"}, path="/organization")
    with pytest.raises(PortError, match="404"):
        client.get_organization(ONCE)
    assert client.clock_skew == timedelta(seconds=3600)


# -- a client that only reads -------------------------------------------------------------------


@pytest.mark.parametrize(
    "write",
    [
        lambda client: client.create_integration({}),
        lambda client: client.patch_integration(title="x"),
        lambda client: client.report_resync_state({"status": "running"}),
        lambda client: client.create_blueprint({"identifier": "x"}),
        lambda client: client.patch_blueprint("package", {"title": "x"}),
        lambda client: client.call("DELETE", "/blueprints/package", ignore),
        lambda client: client.call("DELETE", "/blueprints/package/entities/search", ignore),
        lambda client: client.call("POST", "/blueprints/search/entities/bulk", ignore),
        lambda client: client.deliver("POST", f"{client.base_url}/v1/ingest", b"{}"),
        lambda client: client.clone().create_blueprint({"identifier": "x"}),
    ],
)
def test_a_client_that_only_reads_refuses_every_other_call(
    sandbox: Sandbox, connect: Callable[..., PortClient], write: Callable[[PortClient], None]
) -> None:
    sandbox.create_integration("demo")
    with pytest.raises(PortError, match=r"^(POST|PATCH|DELETE) .*: not sent, as nothing") as caught:
        write(connect(sandbox.url, read_only=True))
    assert not caught.value.temporary
    assert methods_and_paths(sandbox) == []


def test_a_client_that_only_reads_reads(
    sandbox: Sandbox, connect: Callable[..., PortClient]
) -> None:
    reader = connect(sandbox.url, read_only=True)
    assert reader.get_integration().config is None  # one that Port does not know
    assert reader.get_resync_request() is None
    assert reader.get_blueprint("package")["identifier"] == "package"
    query = {"combinator": "and", "rules": []}
    found = reader.call("POST", "/entities/search", lambda answer: answer, body=query)
    assert found["entities"] == []
