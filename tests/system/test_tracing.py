"""OpenTelemetry: the spans of a run, by the SDK's own exporter; and that none of it is needed."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from scripted import Quick

from ocean_actors import ResyncHandler, RunEnded
from ocean_actors.sandbox import Sandbox
from ocean_actors.testing import SandboxedSystem

WITHIN = 60.0
EXPORTED = InMemorySpanExporter()
PROVIDER = TracerProvider()
PROVIDER.add_span_processor(SimpleSpanProcessor(EXPORTED))
trace.set_tracer_provider(PROVIDER)  # a process has one


class Repositories(ResyncHandler):
    def resync(self, run: Any) -> None:
        run.port.upsert("repository", [{"identifier": "a"}])


class Asynchronous(ResyncHandler):
    async def resync(self, run: Any) -> None:
        with trace.get_tracer("mine").start_as_current_span("my own"):
            pass


class Broken(ResyncHandler):
    def resync(self, run: Any) -> None:
        raise ValueError("no such repository")


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    EXPORTED.clear()
    yield EXPORTED
    EXPORTED.clear()


def run_once(*handlers: Any) -> RunEnded:
    with Sandbox() as sandbox:
        sandbox.create_blueprint("repository")
        once = {"type": "ONCE"}
        with SandboxedSystem(handlers, sandbox=sandbox, eventListener=once) as rig:
            ended = rig.expect(RunEnded)
            assert rig.system.wait(WITHIN)
    return ended


def named(spans: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in spans.get_finished_spans()}


def parent_of(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id


def test_a_call_to_port_is_part_of_its_handler_which_is_part_of_its_run(
    spans: InMemorySpanExporter,
) -> None:
    ended = run_once(Repositories)
    found = named(spans)
    run, handler, call = found["resync"], found["handler Repositories"], found["Port POST"]
    assert parent_of(run) is None
    assert parent_of(handler) == run.context.span_id
    assert parent_of(call) == handler.context.span_id
    assert run.attributes is not None
    assert call.attributes is not None
    assert run.attributes["ocean.run.id"] == ended.run.id
    assert run.attributes["ocean.run.status"] == "completed"
    assert run.attributes["ocean.entities.upserted"] == 1
    assert call.attributes["http.response.status_code"] == 200
    assert "repository" in str(call.attributes["url.full"])


def test_calls_that_belong_to_no_run_have_no_span(spans: InMemorySpanExporter) -> None:
    run_once(Asynchronous)
    assert [name for name in named(spans) if name.startswith("Port")] == []


def test_spans_of_the_user_are_part_of_the_handler(spans: InMemorySpanExporter) -> None:
    run_once(Asynchronous)
    found = named(spans)
    assert parent_of(found["my own"]) == found["handler Asynchronous"].context.span_id


def test_a_failure_is_in_the_spans_of_the_handler_and_of_the_run(
    spans: InMemorySpanExporter,
) -> None:
    run_once(Repositories, Broken)
    found = named(spans)
    for name in ("handler Broken", "resync"):
        assert found[name].status.status_code is trace.StatusCode.ERROR
        assert "no such repository" in str(found[name].status.description)
    assert found["handler Repositories"].status.status_code is trace.StatusCode.UNSET


class Hanging(SpanExporter):
    """Does not return from a run's span before it is let go."""

    def __init__(self) -> None:
        self.reached, self.go_on = threading.Event(), threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if any(span.name == "resync" for span in spans):
            self.reached.set()
            self.go_on.wait(WITHIN)
        return SpanExportResult.SUCCESS


@contextlib.contextmanager
def processing(processor: SpanProcessor) -> Iterator[None]:
    """Has the provider call `processor`, too; the SDK cannot remove one."""
    PROVIDER.add_span_processor(processor)
    try:
        yield
    finally:
        multi: Any = PROVIDER._active_span_processor
        multi._span_processors = tuple(
            each for each in multi._span_processors if each is not processor
        )


def test_an_exporter_that_hangs_holds_up_no_run(spans: InMemorySpanExporter) -> None:
    hanging = Hanging()
    with processing(SimpleSpanProcessor(hanging)), SandboxedSystem([Quick]) as rig:
        try:
            assert rig.expect(RunEnded).status == "completed"
            assert hanging.reached.wait(WITHIN)
            rig.system.request_resync()
            assert rig.expect(RunEnded).status == "completed"
        finally:
            hanging.go_on.set()


class Refusing(SpanProcessor):
    """Raises whenever a span begins."""

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        raise ValueError("no tracing today")


def test_a_tracer_that_fails_is_logged_once_and_fails_nothing(
    spans: InMemorySpanExporter, caplog: pytest.LogCaptureFixture
) -> None:
    with processing(Refusing()):
        assert run_once(Quick, Repositories).status == "completed"
    assert named(spans) == {}
    warnings = [text for text in caplog.messages if "OpenTelemetry" in text]
    assert warnings == ["OpenTelemetry failed, so spans are missing: ValueError: no tracing today"]


def test_without_opentelemetry_nothing_of_it_is_loaded() -> None:
    code = (
        "import sys\n"
        "from ocean_actors import OceanSystem, tracing\n"
        "assert not tracing.is_available()\n"
        "print(*[name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=WITHIN
    )
    assert done.stdout.strip() == ""
