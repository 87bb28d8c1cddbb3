"""The dashboard in a real browser."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import pytest
from axe_playwright_python.base import AxeResults
from axe_playwright_python.sync_playwright import Axe
from browser import opened
from desk import KINDS, TOKEN, Desk, busy_night
from playwright.sync_api import Browser, Locator, Page, expect

from ocean_actors.control.server import ControlServer
from ocean_actors.resync.scope import all_kinds

pytestmark = pytest.mark.xdist_group("browser")

Served = Callable[..., ControlServer]
Visit = Callable[..., Page]

WITHIN = 15_000  # milliseconds
AXE = Axe()
HASTE = """{
    const wait = window.setTimeout;
    window.setTimeout = (call, milliseconds, ...more) => wait(call, milliseconds / 5, ...more);
}"""  # the page asks every 0.2 or 0.4 s what is new


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with opened() as browser:
        yield browser


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """Opens a page, which may log no error and ask no other server."""
    contexts = []
    troubles: list[str] = []

    def visit(
        server: ControlServer, *, width: int = 1280, allowed: str = "", **options: Any
    ) -> Page:
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        context.add_init_script(HASTE)
        page = context.new_page()
        page.set_default_timeout(WITHIN)
        expect.set_options(timeout=WITHIN)

        def note(text: str) -> None:
            if not (allowed and re.search(allowed, text)):
                troubles.append(text)

        def check(url: str) -> None:
            if not url.startswith(f"{server.url}/"):
                note(f"asked {url}")

        page.on("console", lambda message: note(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: note(f"uncaught: {error}"))
        page.on("request", lambda request: check(request.url))
        page.goto(f"{server.url}/")
        return page

    yield visit
    for context in contexts:
        context.close()
    assert troubles == []


def shown(page: Page) -> Page:
    page.locator("#content").wait_for()
    return page


def bars(page: Page) -> Locator:
    return page.locator("#timeline g.run")


def violations(page: Page, part: str = "html") -> str:
    """What axe finds wrong in a part of the page, as a report; empty if nothing."""
    if page.evaluate("window.axe === undefined"):
        page.evaluate(AXE.axe_script)
    run = "part => axe.run(part, {resultTypes: ['violations']})"
    results = AxeResults(page.evaluate(run, part))
    return "" if results.violations_count == 0 else results.generate_report()


# -- what it shows ---------------------------------------------------------------------------------


def test_a_busy_integration_is_shown_under_the_policy_without_an_error(
    desk: Desk, served: Served, visit: Visit
) -> None:
    busy_night(desk)
    page = shown(visit(served()))
    expect(page.locator("h1")).to_have_text(desk.name)
    expect(page.locator("#state")).to_have_text("Running")
    expect(bars(page)).to_have_count(201)
    expect(page.locator("#runs-summary")).to_contain_text("12 failed, 14 aborted")
    expect(page.locator("#actors tr")).to_have_count(6)
    expect(page.locator("#events li").first).to_contain_text("Issues: 1312 of 4100")
    expect(page.locator("#requests")).to_contain_text("1,204")
    expect(page.locator("#pending")).to_contain_text("scheduled resync")
    expect(page.locator("#listening")).to_contain_text("Next poll")


def test_a_bar_moves_with_its_handler(desk: Desk, served: Served, visit: Visit) -> None:
    desk.begin(Issues={"done": 10, "total": 100, "message": None, "rate": 5.0, "secondsLeft": 18})
    page = shown(visit(served()))
    bar = page.get_by_role("progressbar", name="Issues")
    expect(bar).to_have_attribute("aria-valuenow", "10")
    expect(page.locator("#bars")).to_contain_text("5.0 per second · about 18 s left")
    width = "bar => bar.firstElementChild.getBoundingClientRect().width"
    page.wait_for_function(
        f"document.querySelector('[aria-valuenow]') && ({width})"
        "(document.querySelector('[aria-label=Issues]')) > 0"
    )
    before = bar.evaluate(width)
    desk.resync["run"]["progress"]["Issues"]["done"] = 60
    expect(bar).to_have_attribute("aria-valuenow", "60")
    page.wait_for_function(
        f"before => ({width})(document.querySelector('[aria-label=Issues]')) > 3 * before",
        arg=before,
    )


def test_failed_and_aborted_runs_are_told_apart_without_colour(
    desk: Desk, served: Served, visit: Visit
) -> None:
    for number, status in enumerate(("completed", "failed", "aborted"), start=1):
        desk.begin(number)
        desk.end(status, failures=[] if status == "completed" else ["a reason"])
    page = shown(visit(served()))
    expect(bars(page)).to_have_count(3)
    looks = bars(page).evaluate_all("""bars => bars.map(bar => ({
        mark: bar.querySelector('.mark').getAttribute('d').replace(/[\\d.]+/g, ''),
        filled: getComputedStyle(bar.querySelector('.bar')).fill !== 'none',
        told: bar.getAttribute('aria-label'),
    }))""")
    assert [look["filled"] for look in looks] == [True, True, False]
    assert len({look["mark"] for look in looks}) == 3
    for look, status in zip(looks, ("completed", "failed", "aborted"), strict=True):
        assert status in look["told"]


def test_the_picture_is_walked_by_keys_and_tells_of_each_run(
    desk: Desk, served: Served, visit: Visit
) -> None:
    for number in (1, 2, 3):
        desk.begin(number)
        desk.end("failed" if number == 2 else "completed", failures=["the cause"] * (number == 2))
    page = shown(visit(served()))
    expect(page.locator('#timeline [tabindex="0"]')).to_have_count(1)
    page.locator('#timeline [tabindex="0"]').focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#run-detail")).to_contain_text("the cause")
    page.keyboard.press("Home")
    expect(page.locator("#run-detail")).to_contain_text("4f1c9a2e-1")
    page.keyboard.press("End")
    expect(page.locator("#run-detail")).to_contain_text("4f1c9a2e-3")
    bars(page).nth(1).hover()
    expect(page.locator("#run-detail")).to_contain_text("failed")


def test_the_table_has_the_same_runs(desk: Desk, served: Served, visit: Visit) -> None:
    for number, status in enumerate(("completed", "failed", "aborted"), start=1):
        desk.begin(number)
        desk.end(status, seconds=30.0 + number)
    page = shown(visit(served()))
    page.get_by_text("The same as a table").click()
    rows = page.locator("#runs-table tr")
    expect(rows).to_have_count(3)
    expect(rows.nth(0)).to_contain_text("aborted")
    expect(rows.nth(0)).to_contain_text("33 s")
    expect(rows.nth(2)).to_contain_text("completed")


def test_what_stays_on_the_page_stays_the_same_element(
    desk: Desk, served: Served, visit: Visit
) -> None:
    desk.begin(1)
    desk.end()
    desk.tell("info", "first")
    page = shown(visit(served()))
    expect(page.locator("#events li")).to_have_count(1)
    page.evaluate("""() => {
        for (const each of document.querySelectorAll('#timeline g, #events li, #actors tr'))
            each.kept = true;
    }""")
    desk.begin(2)
    desk.end()
    desk.tell("info", "second")
    expect(bars(page)).to_have_count(2)
    expect(page.locator("#events li")).to_have_count(2)
    kept = "all => all.filter(each => each.kept).length"
    assert bars(page).evaluate_all(kept) == 1
    assert page.locator("#events li").evaluate_all(kept) == 1
    assert page.locator("#actors tr").evaluate_all(kept) == 6


def test_text_from_outside_stays_text(desk: Desk, served: Served, visit: Visit) -> None:
    code = '<img src=x onerror="document.title=1"><script>document.title=2</script>'
    desk.begin(1)
    desk.resync["run"]["reason"] = code
    desk.facts["actors"][0]["failure"] = code
    desk.tell("bad", code)
    page = shown(visit(served()))
    expect(page.locator("#headline")).to_have_text(code)
    expect(page.locator("#events")).to_contain_text(code)
    assert page.locator("main img").count() == 0


def test_a_stopped_integration_and_a_silent_coordinator_are_said(
    desk: Desk, served: Served, visit: Visit
) -> None:
    server = served()
    page = shown(visit(server))
    resync, desk.resync = desk.resync, None  # type: ignore[assignment]  # as after a timeout
    expect(page.locator("#headline")).to_have_text("The coordinator does not answer.")
    expect(page.get_by_role("button", name="Resync now")).to_be_disabled()
    desk.resync = resync
    desk.facts |= {"stopped": True, "cause": "actor coordinator failed"}
    expect(page.locator("#state")).to_have_text("Stopped")
    expect(page.locator("#subline")).to_have_text("actor coordinator failed")


def test_one_of_several_integrations_is_chosen(served: Served, visit: Visit) -> None:
    page = shown(visit(served(Desk("shop"), Desk("blog"))))
    expect(page.locator("h1")).to_have_text("shop")
    page.get_by_label("Integration").select_option("blog")
    expect(page.locator("h1")).to_have_text("blog")
    page.reload()
    expect(page.locator("h1")).to_have_text("blog")
    expect(page.get_by_label("Integration")).to_have_value("blog")


def test_an_integration_that_has_ended_shows_what_it_did(
    desk: Desk, served: Served, visit: Visit
) -> None:
    desk.begin()
    desk.end()
    desk.resync["state"] = "stopped"
    desk.facts["stopped"] = True
    page = shown(visit(served()))
    expect(page.locator("#state")).to_have_text("Stopped")
    expect(page.locator("#headline")).to_have_text("The integration has stopped.")
    expect(page.locator("#subline")).to_contain_text("The last run completed")
    expect(page.locator("#meta")).to_have_text("listens by POLLING · ocean_actors 0.2.0")  # not up
    expect(page.get_by_role("button", name="Resync now")).to_be_disabled()
    desk.facts["cause"] = "actor coordinator failed: ValueError: broken on purpose"
    expect(page.locator("#subline")).to_have_text(desk.facts["cause"])


def test_where_there_is_one_integration_there_is_no_choice(served: Served, visit: Visit) -> None:
    page = shown(visit(served(Desk("shop"))))
    expect(page.get_by_label("Integration")).to_be_hidden()


def test_a_late_answer_about_the_integration_before_is_dropped(
    served: Served, visit: Visit
) -> None:
    """Else the buttons would steer another integration than the one that is shown."""
    asked, answered = threading.Event(), threading.Event()

    class Slow(Desk):
        def status(self) -> Mapping[str, Any]:
            if self.facts["integration"] == "late":
                asked.set()
                answered.wait(WITHIN / 1000)
            return super().status()

    slow = Slow("shop")
    page = shown(visit(served(slow, Desk("blog"))))
    expect(page.locator("h1")).to_have_text("shop")
    page.evaluate("""() => {
        window.seen = [];
        const name = document.getElementById('name');
        new MutationObserver(() => window.seen.push(name.textContent)).observe(
            name, {childList: true, characterData: true, subtree: true});
    }""")
    slow.facts["integration"] = "late"
    assert asked.wait(WITHIN / 1000)
    page.get_by_label("Integration").select_option("blog")
    expect(page.locator("#content")).to_be_hidden()
    answered.set()
    expect(page.locator("h1")).to_have_text("blog")
    assert page.evaluate("window.seen") == ["blog"]


# -- buttons ---------------------------------------------------------------------------------------


def test_a_resync_is_requested_for_the_kinds_that_are_chosen(
    desk: Desk, served: Served, visit: Visit
) -> None:
    page = shown(visit(served()))
    page.get_by_role("button", name="Resync now").click()
    dialog = page.get_by_role("dialog", name="Resync now")
    for kind in all_kinds(KINDS):
        expect(dialog.get_by_label(kind, exact=True)).not_to_be_checked()
    dialog.get_by_label("issue", exact=True).check()
    expect(dialog.get_by_label("All kinds")).not_to_be_checked()
    dialog.get_by_label("Reason").fill("try it")
    dialog.get_by_role("button", name="Resync").click()
    expect(page.locator("#outcome")).to_have_text("The resync was requested.")
    expect(dialog).to_be_hidden()
    page.get_by_role("button", name="Resync now").click()  # which asks everything anew
    expect(dialog.get_by_label("All kinds")).to_be_checked()
    expect(dialog.get_by_label("issue", exact=True)).not_to_be_checked()
    expect(dialog.get_by_label("Reason")).to_have_value("requested on the dashboard")
    assert desk.calls == [
        ("resync", {"reason": "try it", "kinds": ["issue"], "parameters": None, "policy": None})
    ]


def test_an_abort_asks_first(desk: Desk, served: Served, visit: Visit) -> None:
    page = shown(visit(served()))
    abort = page.get_by_role("button", name="Abort…")
    expect(abort).to_be_disabled()
    desk.begin(7)
    expect(abort).to_be_enabled()
    abort.click()
    dialog = page.get_by_role("dialog", name="Abort the run?")
    expect(dialog).to_contain_text("4f1c9a2e-7")
    dialog.get_by_role("button", name="Keep it running").click()
    expect(dialog).to_be_hidden()
    assert desk.calls == []
    abort.click()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    abort.click()
    dialog.get_by_role("button", name="Abort the run").click()
    expect(page.locator("#outcome")).to_have_text("The run is being aborted.")
    assert [name for name, _ in desk.calls] == ["abort"]
    expect(abort).to_be_disabled()


def test_pause_and_resume(desk: Desk, served: Served, visit: Visit) -> None:
    page = shown(visit(served()))
    page.get_by_role("button", name="Pause…").click()
    dialog = page.get_by_role("dialog", name="Pause resyncs")
    expect(dialog.get_by_label("Abort the run in flight")).to_be_hidden()
    dialog.get_by_label("Reason").fill("maintenance")
    dialog.get_by_role("button", name="Pause").click()
    expect(page.locator("#pauses")).to_contain_text("Paused by api now: maintenance")
    expect(page.locator("#state")).to_have_text("Paused")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#pauses p")).to_have_count(0)
    expect(page.get_by_role("button", name="Pause…")).to_be_visible()
    assert [name for name, _ in desk.calls] == ["pause", "resume"]


def test_a_refusal_is_shown_where_it_was_caused(desk: Desk, served: Served, visit: Visit) -> None:
    page = shown(visit(served(), allowed="503"))
    desk.failure = RuntimeError("the OceanSystem is stopped")
    page.get_by_role("button", name="Pause…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Pause").click()
    expect(dialog.get_by_role("alert")).to_have_text("the OceanSystem is stopped")


# -- trouble ---------------------------------------------------------------------------------------


def test_a_process_that_dies_is_said_and_one_that_comes_back_is_shown(
    desk: Desk, served: Served, visit: Visit
) -> None:
    desk.tell("info", "of the first process")
    desk.begin(1)
    server = served()
    page = shown(visit(server, allowed="ERR_CONNECTION_REFUSED|ERR_EMPTY|ERR_CONNECTION_RESET"))
    port = int(server.url.rpartition(":")[2])
    server.stop()
    expect(page.get_by_role("alert")).to_contain_text("The process does not answer")
    expect(page.get_by_role("button", name="Resync now")).to_be_disabled()
    expect(page).to_have_title(f"No answer · {desk.name}")
    length_then = page.locator("#subline").inner_text()
    page.evaluate("{ const now = Date.now; Date.now = () => now() + 600_000; }")  # ten minutes
    for _ in range(2):  # at the second, what the first one changed is drawn
        page.wait_for_event("requestfailed")
    assert page.locator("#subline").inner_text() == length_then
    again = Desk(desk.name)
    again.tell("info", "of the second process")
    served(again, port=port)
    expect(page.locator("#banner")).to_be_hidden()
    expect(page.locator("#events li")).to_have_count(1)
    expect(page.locator("#events li")).to_contain_text("of the second process")
    expect(page.get_by_role("button", name="Resync now")).to_be_enabled()


def test_a_token_is_asked_for_and_never_in_an_address(served: Served, visit: Visit) -> None:
    page = visit(served(token=TOKEN), allowed="401")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_label("Token").fill("wrong")
    page.get_by_role("button", name="Show the dashboard").click()
    expect(page.locator("#token-problem")).to_have_text("That token is wrong.")
    assert violations(page) == ""
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Show the dashboard").click()
    shown(page)
    page.reload()
    shown(page)
    assert [url for url in asked if TOKEN in url] == []


# -- for everybody ---------------------------------------------------------------------------------


SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing(desk: Desk, served: Served, visit: Visit, width: int) -> None:
    busy_night(desk, runs=12)  # of each outcome at least one
    desk.resync["pauses"] = [{"owner": "nightly", "reason": "backup", "since": "2026-01-01"}]
    page = shown(visit(served(), width=width, reduced_motion="reduce"))
    page.get_by_text("The same as a table").click()
    expect(page.locator("#runs-table tr")).to_have_count(12)
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        assert violations(page) == ""
    for name in ("Resync now", "Abort…", "Pause…"):
        page.get_by_role("button", name=name).click()
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            assert violations(page, "dialog[open]") == ""
        page.keyboard.press("Escape")


def test_it_fits_a_telephone(desk: Desk, served: Served, visit: Visit) -> None:
    busy_night(desk)
    page = shown(visit(served(desk, Desk("an-integration-with-quite-a-long-name")), width=390))
    expect(bars(page)).to_have_count(201)
    title = page.locator(".top-title").bounding_box()
    assert title is not None
    assert title["width"] > 200  # the chooser takes none of its place
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    outside = page.locator("main .card").evaluate_all(
        "cards => cards.filter(card => card.getBoundingClientRect().right > 390).length"
    )
    assert outside == 0


def test_it_is_dark_where_the_reader_wants_it_dark(served: Served, visit: Visit) -> None:
    server = served()
    background = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    light = shown(visit(server, color_scheme="light")).evaluate(background)
    dark = shown(visit(server, color_scheme="dark")).evaluate(background)
    assert min(light) > 200
    assert max(dark) < 60
