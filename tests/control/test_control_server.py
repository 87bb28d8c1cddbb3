"""Every endpoint of the control server, over a real socket."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Callable
from typing import Any

import pykka
import pytest
import requests
from desk import KINDS, TOKEN, Desk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ocean_actors.actors import MailboxFull
from ocean_actors.control.pages import FILES
from ocean_actors.control.server import ControlServer

Served = Callable[..., ControlServer]

STEERING = ["/api/resync", "/api/abort", "/api/pause", "/api/resume"]
READING = ["/api/status", "/api/events", "/api/integrations", "/metrics"]


def get(server: ControlServer, path: str, **headers: str) -> requests.Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.get(server.url + path, headers=names, timeout=10)


def post(
    server: ControlServer, path: str, body: Any = None, *, token: str | None = None, **headers: str
) -> requests.Response:
    names = {"X-Ocean-Actors": "1"} | {key.replace("_", "-"): it for key, it in headers.items()}
    if token is not None:
        names["Authorization"] = f"Bearer {token}"
    if isinstance(body, bytes):
        names.setdefault("Content-Type", "application/json")
        return requests.post(server.url + path, data=body, headers=names, timeout=10)
    return requests.post(server.url + path, json=body, headers=names, timeout=10)


def metrics() -> tuple[bytes, str]:
    return b"up 1\n", "text/plain; version=0.0.4"


# -- the page ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", FILES)
def test_the_page_and_its_files_are_served_to_be_kept_until_they_change(
    served: Served, path: str
) -> None:
    server = served(token=TOKEN)
    answer = get(server, path)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == FILES[path][1]
    again = get(server, path, If_None_Match=answer.headers["ETag"])
    assert (again.status_code, again.content) == (304, b"")


def test_the_page_may_load_nothing_from_elsewhere_and_run_no_code_of_its_own(
    served: Served,
) -> None:
    answer = get(served(), "/")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "frame-ancestors 'none'" in policy
    assert "style=" not in answer.text
    assert "onclick" not in answer.text
    assert answer.text.count("<script") == answer.text.count('<script type="module" src=')


def test_all_files_together_have_less_than_100_kb(served: Served) -> None:
    server = served()
    assert 10_000 < sum(len(get(server, path).content) for path in FILES) < 100_000


def test_every_answer_has_the_headers_that_protect_it(served: Served) -> None:
    server = served(token=TOKEN)
    for answer in (get(server, "/"), get(server, "/api/status"), get(server, "/nothing")):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "Access-Control-Allow-Origin" not in answer.headers


# -- reading -------------------------------------------------------------------------------------


def test_the_status_is_what_the_integration_says_and_the_number_of_its_last_event(
    desk: Desk, served: Served
) -> None:
    desk.tell("info", "hello")
    answer = get(served(), "/api/status").json()
    assert answer["integration"] == desk.name
    assert answer["resync"]["kinds"] == {name: list(kinds) for name, kinds in KINDS.items()}
    assert answer["events"] == {"instance": desk.events.instance, "latest": 1}


def test_a_status_in_which_only_time_has_passed_is_not_sent_again(
    desk: Desk, served: Served
) -> None:
    server = served()
    first = get(server, "/api/status")
    server.stop()
    desk.facts["actors"][0]["handled"] += 1
    server = served()  # which has no status at hand
    second = get(server, "/api/status", If_None_Match=first.headers["ETag"])
    assert (second.status_code, second.content) == (304, b"")
    assert "Content-Length" not in second.headers
    server.stop()
    desk.facts["actors"][0]["restarts"] += 1
    third = get(served(), "/api/status", If_None_Match=first.headers["ETag"])
    assert third.status_code == 200


def test_an_answer_without_a_body_leaves_the_connection_open(served: Served) -> None:
    with requests.Session() as session:
        url = served().url + "/icon.svg"
        known = {"If-None-Match": session.get(url, timeout=10).headers["ETag"]}
        for _ in range(3):
            answer = session.get(url, headers=known, timeout=10)
            assert answer.status_code == 304
            assert "Connection" not in answer.headers
        last = session.get(url, headers={**known, "Connection": "close"}, timeout=10)
        assert last.headers["Connection"] == "close"


def test_many_dashboards_share_one_status(desk: Desk, served: Served) -> None:
    server = served()
    answers = [get(server, "/api/status") for _ in range(5)]
    assert {answer.status_code for answer in answers} == {200}
    assert desk.asked < 5


def test_after_a_change_the_status_is_made_anew(desk: Desk, served: Served) -> None:
    server = served()
    assert get(server, "/api/status").json()["resync"]["pauses"] == []
    post(server, "/api/pause", {"reason": "maintenance"})
    assert get(server, "/api/status").json()["resync"]["pauses"][0]["reason"] == "maintenance"


def test_events_are_given_from_a_number_on(desk: Desk, served: Served) -> None:
    server = served()
    for number in range(1, 4):
        desk.tell("info", f"event {number}")
    assert [each["number"] for each in get(server, "/api/events").json()["events"]] == [1, 2, 3]
    later = get(server, "/api/events?after=2").json()
    assert [each["text"] for each in later["events"]] == ["event 3"]
    assert get(server, "/api/events?after=3").json()["events"] == []
    assert get(server, "/api/events?after=99").json()["events"] == []


@pytest.mark.parametrize("after", ["-1", "x", "1.5", "9" * 40, "٣"])
def test_an_event_number_that_is_none_is_refused(served: Served, after: str) -> None:
    assert get(served(), f"/api/events?after={after}").status_code == 400


def test_metrics_are_served_where_they_are_collected(served: Served) -> None:
    assert get(served(), "/metrics").status_code == 404
    answer = get(served(metrics=metrics), "/metrics")
    assert (answer.status_code, answer.text) == (200, "up 1\n")
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4"


def test_one_of_several_integrations_is_chosen_by_name(served: Served) -> None:
    shop, blog = Desk("shop"), Desk("blog")
    server = served(shop, blog)
    assert get(server, "/api/integrations").json() == {"integrations": ["shop", "blog"]}
    assert get(server, "/api/status?integration=blog").json()["integration"] == "blog"
    assert get(server, "/api/status").status_code == 400
    unknown = get(server, "/api/status?integration=other")
    assert unknown.status_code == 404
    assert "shop, blog" in unknown.json()["message"]
    post(server, "/api/abort?integration=blog", {"reason": "x"})
    assert (len(shop.calls), len(blog.calls)) == (0, 1)


# -- steering ------------------------------------------------------------------------------------


def test_a_resync_is_requested_with_all_that_it_may_have(desk: Desk, served: Served) -> None:
    body = {
        "reason": "new mapping", "kinds": ["issue"], "parameters": {"since": "2026-01-01"},
        "policy": "queue",
    }  # fmt: skip
    answer = post(served(), "/api/resync", body)
    assert (answer.status_code, answer.json()) == (202, {"ok": True, "id": "request-1"})
    assert desk.calls == [("resync", body)]


def test_an_empty_body_requests_all_kinds(desk: Desk, served: Served) -> None:
    assert post(served(), "/api/resync").status_code == 202
    assert desk.calls[0][1]["kinds"] is None


def test_an_unknown_kind_is_answered_with_the_known_ones(desk: Desk, served: Served) -> None:
    answer = post(served(), "/api/resync", {"kinds": ["isue"]})
    assert answer.status_code == 404
    assert "repository, issue, comment, team" in answer.json()["message"]
    assert desk.calls == []


def test_an_abort_says_whether_there_was_a_run(desk: Desk, served: Served) -> None:
    server = served()
    assert post(server, "/api/abort").json() == {"ok": True, "aborted": False}
    desk.begin()
    assert post(server, "/api/abort", {"reason": "bad"}).json() == {"ok": True, "aborted": True}
    assert desk.resync["runs"][0]["failures"] == ["bad"]


def test_pause_and_resume_belong_to_an_owner(desk: Desk, served: Served) -> None:
    server = served()
    post(server, "/api/pause", {"reason": "why", "abort": True})
    post(server, "/api/resume", {"reason": "done", "owner": "nightly"})
    assert desk.calls == [
        ("pause", {"reason": "why", "owner": "api", "abort": True}),
        ("resume", {"reason": "done", "owner": "nightly"}),
    ]


@pytest.mark.parametrize("path", STEERING)
@pytest.mark.parametrize(
    "body",
    [
        b"{", b"[]", b"null", b'"x"', b"\xff", b'{"reason": 1}', b'{"reason": ""}',
        b'{"kindz": []}', b'{"reason": "' + b"x" * 301 + b'"}', b"[" * 10_000, b'{"a": ' * 5_000,
    ],
)  # fmt: skip
def test_a_body_that_is_not_understood_changes_nothing(
    desk: Desk, served: Served, path: str, body: bytes
) -> None:
    answer = post(served(), path, body)
    assert answer.status_code == 400
    assert answer.json()["ok"] is False
    assert desk.calls == []


def test_a_body_is_bounded(desk: Desk, served: Served) -> None:
    server = served()
    assert post(server, "/api/resync", b" " * 70_000).status_code == 413
    form = post(server, "/api/abort", b"a=1", Content_Type="application/x-www-form-urlencoded")
    assert form.status_code == 415
    assert desk.calls == []


def test_a_wrong_policy_is_refused(served: Served) -> None:
    assert post(served(), "/api/resync", {"policy": "perhaps"}).status_code == 400


@pytest.mark.parametrize(
    "failure",
    [
        RuntimeError("stopped"), MailboxFull("coordinator is full"),
        pykka.ActorDeadError("coordinator is stopped"), pykka.Timeout("1 second"),
    ],
)  # fmt: skip
def test_an_integration_that_cannot_take_it_is_answered_503(
    desk: Desk, served: Served, failure: Exception
) -> None:
    desk.failure = failure
    answer = post(served(), "/api/resync")
    assert answer.status_code == 503
    assert str(failure) in answer.json()["message"]


def test_a_bug_is_answered_500_without_its_text(
    desk: Desk, served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    desk.failure = KeyError("inner detail")
    answer = post(served(), "/api/resync")
    assert answer.status_code == 500
    assert "inner detail" not in answer.text
    assert "inner detail" in caplog.text


# -- who may -------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", READING)
def test_reading_needs_the_token_if_there_is_one(served: Served, path: str) -> None:
    server = served(token=TOKEN, metrics=metrics)
    assert get(server, path).status_code == 401
    assert get(server, path, Authorization="Bearer wrong").status_code == 401
    assert get(server, f"{path}?token={TOKEN}").status_code == 401
    assert get(server, path, Authorization=f"Bearer {TOKEN}").status_code == 200


@pytest.mark.parametrize("path", STEERING)
def test_steering_needs_the_token_if_there_is_one(desk: Desk, served: Served, path: str) -> None:
    server = served(token=TOKEN)
    assert post(server, path).status_code == 401
    assert post(server, path, token="wrong").status_code == 401
    assert desk.calls == []
    assert post(server, path, token=TOKEN).ok
    assert len(desk.calls) == 1


@pytest.mark.parametrize("path", STEERING)
def test_other_sites_cannot_steer(desk: Desk, served: Served, path: str) -> None:
    server = served()
    assert requests.post(server.url + path, timeout=10).status_code == 403
    assert post(server, path, Sec_Fetch_Site="cross-site").status_code == 403
    assert post(server, path, Host="evil.example").status_code == 421
    assert requests.options(server.url + path, timeout=10).status_code == 403
    assert get(server, path).status_code == 405
    assert desk.calls == []


@pytest.mark.parametrize("path", [*READING, "/", "/dashboard.js"])
def test_another_host_is_refused_everywhere(served: Served, path: str) -> None:
    assert get(served(metrics=metrics), path, Host="evil.example:8001").status_code == 421


def test_known_secrets_are_kept_out_of_answers(desk: Desk, served: Served) -> None:
    secret = 'pass"wörd\\7'
    desk.facts["cause"] = f"cannot log in with {secret}"
    desk.tell("bad", f"failed with {secret}")
    server = served(secrets=[secret])
    for path in ("/api/status", "/api/events"):
        answer = get(server, path)
        assert "***" in answer.text
        assert secret not in json.dumps(answer.json(), ensure_ascii=False)
        assert json.dumps(secret)[1:-1] not in answer.text


def test_refusals_are_logged_at_a_bounded_rate(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    server = served(token=TOKEN)
    for _ in range(20):
        get(server, "/api/status", Authorization="Bearer wrong")
    assert 1 <= caplog.text.count("answered 401") <= 5
    assert TOKEN not in caplog.text


# -- the port ------------------------------------------------------------------------------------


def test_a_port_that_was_set_and_is_taken_is_one_line(served: Served) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=rf"127.0.0.1:{port}.*control.port") as failure:
            served(port=port)
    assert "\n" not in str(failure.value)


def test_a_host_that_this_machine_does_not_have_is_one_line_that_names_the_setting(
    served: Served,
) -> None:
    with pytest.raises(OSError, match=r"^cannot listen on 192\.0\.2\.1:0: .* and control\.host$"):
        served(host="192.0.2.1", token=TOKEN)


def test_the_usual_port_gives_way_to_a_free_one_and_says_so(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    first = served(port=None)  # takes 8001, unless somebody else has it
    second = served(port=None)
    assert first.url != second.url
    assert f"port 8001 is in use: the dashboard is on {second.url}" in caplog.text
    assert get(second, "/api/status").status_code == 200


# -- fuzz ----------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
BODIES = (
    st.binary(max_size=60)
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.dictionaries(
        st.sampled_from(["reason", "kinds", "parameters", "policy", "abort", "owner"]), JSON
    ).map(lambda value: json.dumps(value).encode())
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.sampled_from(STEERING), body=BODIES, query=st.text(max_size=20))
def test_no_body_and_no_query_brings_the_server_into_trouble(
    desk: Desk, path: str, body: bytes, query: str, fuzzed: ControlServer
) -> None:
    answer = requests.post(
        fuzzed.url + path, params={"q": query, query: "1"}, data=body, timeout=10,
        headers={"X-Ocean-Actors": "1", "Content-Type": "application/json"},
    )  # fmt: skip
    assert answer.status_code in {200, 202, 400, 404}
    assert answer.json()["ok"] is (answer.status_code < 400)


@pytest.fixture
def fuzzed(served: Served) -> ControlServer:
    return served()
