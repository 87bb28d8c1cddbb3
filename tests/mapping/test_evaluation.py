"""How items are evaluated: in a process that can be ended, in batches, and with what is counted."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timezone
from types import MappingProxyType
from typing import Any

import psutil
import pytest
from mapped import Mapped, entry
from waiting import WITHIN, wait_until

from ocean_actors.actors import Cancelled, CancelToken
from ocean_actors.mapping.errors import JqMissing, MappingError
from ocean_actors.mapping.process import JqProcess

THING = {"identifier": ".id", "blueprint": '"thing"'}
ENDLESS = "last(range(infinite))"

Open = Callable[..., Mapped]


@pytest.fixture
def open_mapping() -> Iterator[Open]:
    """Opens mappings with the given entries, and closes them after the test."""
    opened: list[Mapped] = []

    def open_one(*entries: Any, process: Callable[[CancelToken], JqProcess] = JqProcess) -> Mapped:
        opened.append(Mapped(list(entries), process))
        return opened[-1]

    yield open_one
    for each in opened:
        each.mapping.close()
        each.clock.close()


def quick(token: CancelToken) -> JqProcess:
    """A process that gets a second and 300 MiB."""
    return JqProcess(token, seconds=1, memory=300 * 1024**2)


def texts(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_items_are_counted_and_the_first_failures_kept(
    open_mapping: Open, caplog: pytest.LogCaptureFixture
) -> None:
    mapped = open_mapping(entry({**THING, "title": ".t.x"}, ".id != 1"))
    items: list[Any] = [{"id": None}, {"id": 1}, {"id": "a", "t": 1}, "text", {"id": object()}]
    entities = mapped.only().entities(items)
    assert list(entities) == [{"identifier": "a", "blueprint": "thing", "title": None}]
    counts = (entities.items, entities.mapped, entities.skipped, entities.failed)
    assert counts == (5, 1, 1, 3)
    assert [failure.index for failure in entities.failures] == [0, 3, 4]
    assert entities.failures[0].reason == "port.entity.mappings.identifier: is null"
    assert entities.field_errors == {"port.entity.mappings.title": 1}
    assert set(mapped.incomplete) == {"an item of kind thing could not be mapped"}
    assert sum("gives no entity" in text for text in texts(caplog)) == 3
    assert sum("title is null for item 2" in text for text in texts(caplog)) == 1
    assert "3 entities of 5 items could not be computed" in texts(caplog)[-1]


def test_many_failures_are_folded_in_the_log(
    open_mapping: Open, caplog: pytest.LogCaptureFixture
) -> None:
    mapped = open_mapping(entry({**THING, "title": "error(.e)"}))
    entities = mapped.only().entities({"id": None, "e": "a\n\x1b[31m" * 99} for _ in range(2000))
    assert list(entities) == []
    assert (entities.failed, len(entities.failures)) == (2000, 1000)
    assert len(texts(caplog)) < 10
    assert all(text.isprintable() for text in texts(caplog))


def test_dates_and_mappings_of_other_types_are_evaluated(open_mapping: Open) -> None:
    mapped = open_mapping(entry({**THING, "properties": {"all": "."}}))
    item = MappingProxyType({
        "id": "a", "day": date(2026, 11, 26),
        "at": datetime(2026, 11, 26, 3, 4, tzinfo=timezone.utc), "more": MappingProxyType({}),
    })  # fmt: skip
    (entity,) = mapped.only().entities([item])
    assert entity["properties"]["all"] == {
        "id": "a", "day": "2026-11-26", "at": "2026-11-26T03:04:00+00:00", "more": {},
    }  # fmt: skip


def test_items_are_consumed_as_entities_are_asked_for(open_mapping: Open) -> None:
    taken = itertools.count()

    def endless() -> Iterator[dict[str, Any]]:
        while True:
            yield {"id": f"t-{next(taken)}"}

    entities = open_mapping(entry(THING)).only().entities(endless())
    assert next(entities)["identifier"] == "t-0"
    assert next(taken) <= 50


def test_one_item_is_not_taken_for_many(open_mapping: Open) -> None:
    item: Any = {"id": "a"}
    with pytest.raises(TypeError, match="many items, got one dict"):
        open_mapping(entry(THING)).only().entities(item)


def test_threads_may_share_a_mapping(open_mapping: Open) -> None:
    mapped = open_mapping(entry(THING))
    found: list[list[str]] = []

    def work(name: str) -> None:
        items = [{"id": f"{name}-{number}"} for number in range(300)]
        found.append([each["identifier"] for each in mapped.only().entities(items)])

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(found) == [[f"{name}-{number}" for number in range(300)] for name in "abc"]


def test_no_environment_variable_can_be_read(
    open_mapping: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORT_SECRET", "hush")
    expressions = ["env", "$ENV", "def f: env, $ENV; [f]", '"\\(env)\\($ENV)"', "$ENV.PORT_SECRET"]
    properties = {str(number): text for number, text in enumerate(expressions)}
    alone = {**properties, "alone": "$__loc__, env"}  # evaluated one by one
    for each in (properties, alone):
        (entity,) = open_mapping(entry({**THING, "properties": each})).only().entities([{"id": 1}])
        assert "hush" not in str(entity)
        assert entity["properties"]["0"] == {}


@pytest.mark.parametrize(
    ("program", "problem"),
    [
        (ENDLESS, "JQ did not finish within 1 s"),
        ("[range(infinite)]", "JQ did not finish within 1 s|300 MiB of memory"),
        ("def f: 1 + f; f", "JQ did not finish within 1 s|300 MiB of memory"),
    ],
)
def test_a_program_that_never_ends_fails_its_entry_only(
    open_mapping: Open, program: str, problem: str
) -> None:
    mapped = open_mapping(
        entry({**THING, "title": program}, kind="bad"), entry(THING), process=quick
    )
    with pytest.raises(MappingError, match=problem) as raised:
        list(mapped.only("bad").entities([{"id": "a"}]))
    assert str(raised.value).startswith("Port's mapping, entry 0 (kind bad): ")
    assert [each["identifier"] for each in mapped.only().entities([{"id": "b"}])] == ["b"]


def test_an_item_whose_entity_is_nested_too_deeply_fails_alone(open_mapping: Open) -> None:
    deep = 'if .id == "deep" then reduce range(20000) as $i (1; [.]) else .id end'
    entities = (
        open_mapping(entry({**THING, "title": deep}))
        .only()
        .entities([{"id": "a"}, {"id": "deep"}, {"id": "b"}])
    )
    assert [each["title"] for each in entities] == ["a", "b"]
    assert [(each.index, each.reason) for each in entities.failures] == [
        (1, "a value is nested too deeply")
    ]


def test_what_this_process_would_have_to_hold_is_limited(
    open_mapping: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ocean_actors.mapping.process.LARGEST_ANSWER", 1024**2)
    mapped = open_mapping(entry({**THING, "title": '.n as $n | "x" * $n'}))
    entities = mapped.only().entities([{"id": "a", "n": 2 * 1024**2}])
    with pytest.raises(MappingError, match=r"the result is larger than 1 MiB \(items 0 to 0\)"):
        list(entities)
    assert len(list(mapped.only().entities([{"id": "b", "n": 1}]))) == 1


def test_a_child_that_was_killed_while_it_was_idle_is_replaced(open_mapping: Open) -> None:
    mapped = open_mapping(entry(THING))
    assert list(mapped.only().entities([{"id": "a"}]))
    os.waitid(os.P_PID, kill_child(mapped), os.WEXITED | os.WNOWAIT)
    assert [each["identifier"] for each in mapped.only().entities([{"id": "b"}])] == ["b"]


def test_a_child_that_is_killed_at_work_is_one_line(open_mapping: Open) -> None:
    mapped = open_mapping(entry({**THING, "title": ENDLESS}, kind="bad"), entry(THING))
    assert list(mapped.only().entities([{"id": "a"}]))
    used = processor_time(mapped)
    with ThreadPoolExecutor(1) as pool:
        evaluation = pool.submit(list, mapped.only("bad").entities([{"id": "a"}]))
        wait_until_at_work(mapped, used)
        kill_child(mapped)
        killed = r"the process that evaluates JQ was killed, perhaps"
        with pytest.raises(MappingError, match=killed):
            evaluation.result(WITHIN)
    assert list(mapped.only().entities([{"id": "b"}]))


def processor_time(mapped: Mapped) -> float:
    """Returns the seconds that the child has used."""
    child = mapped.mapping._process._child
    assert child is not None
    times = psutil.Process(child._process.pid).cpu_times()
    return times.user + times.system


def wait_until_at_work(mapped: Mapped, used: float) -> None:
    """Wait until the child has computed for 0.1 s since it had used `used` seconds."""
    wait_until(lambda: processor_time(mapped) > used + 0.1, "a child that computes")


def kill_child(mapped: Mapped) -> int:
    """Kill the child as another process would; returns its number."""
    child = mapped.mapping._process._child
    assert child is not None
    os.kill(child._process.pid, signal.SIGKILL)
    return child._process.pid


def test_other_threads_go_on_while_jq_works(open_mapping: Open) -> None:
    mapped = open_mapping(entry({**THING, "title": ENDLESS}, kind="bad"), entry(THING))
    assert list(mapped.only().entities([{"id": "a"}]))
    with ThreadPoolExecutor(1) as pool:
        evaluation = pool.submit(list, mapped.only("bad").entities([{"id": "a"}]))
        for _ in range(3):  # this thread sees JQ at work
            wait_until_at_work(mapped, processor_time(mapped))
        assert not evaluation.done()
        mapped.token.cancel("enough")
        with pytest.raises(Cancelled, match="enough"):
            evaluation.result(WITHIN)


def test_an_abort_ends_an_evaluation_at_once(open_mapping: Open) -> None:
    mapped = open_mapping(entry({**THING, "title": ENDLESS}, kind="bad"), entry(THING))
    assert list(mapped.only().entities([{"id": "a"}]))
    child = mapped.mapping._process._child
    assert child is not None
    used = processor_time(mapped)
    with ThreadPoolExecutor(1) as pool:
        evaluation = pool.submit(next, mapped.only("bad").entities([{"id": "a"}]))
        wait_until_at_work(mapped, used)
        mapped.token.cancel("enough")
        with pytest.raises(Cancelled, match="enough"):
            evaluation.result(WITHIN)
    assert child._process.returncode == -signal.SIGKILL  # so it did not end by its alarm


def test_closing_ends_the_process(open_mapping: Open) -> None:
    mapped = open_mapping(entry({**THING, "title": "$__loc__"}))
    assert list(mapped.only().entities([{"id": "a"}]))
    child = mapped.mapping._process._child
    assert child is not None
    mapped.mapping.close()
    assert child._process.poll() is not None
    with pytest.raises(ProcessLookupError):
        os.kill(child._process.pid, 0)


def test_closing_ends_what_a_thread_still_evaluates(open_mapping: Open) -> None:
    mapped = open_mapping(entry({**THING, "title": ENDLESS}, kind="bad"), entry(THING))
    assert list(mapped.only().entities([{"id": "a"}]))
    used = processor_time(mapped)
    with ThreadPoolExecutor(1) as pool:
        evaluation = pool.submit(next, mapped.only("bad").entities([{"id": "a"}]))
        wait_until_at_work(mapped, used)
        mapped.mapping.close()
        with pytest.raises(MappingError):
            evaluation.result(WITHIN)
    with pytest.raises(RuntimeError, match="was closed"):
        list(mapped.only().entities([{"id": "a"}]))


def test_without_the_package_jq_one_line_says_what_to_install(
    open_mapping: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jq", None)
    resource = open_mapping(entry(THING)).only()
    assert resource.blueprint == "thing"
    with pytest.raises(JqMissing, match=r"pip install 'ocean-actors\[jq\]'"):
        resource.entities([])
