"""OpenTelemetry spans of runs, handlers and calls to Port, if the program uses OpenTelemetry.

Whoever sets a tracer provider has imported `opentelemetry.trace` to do so. So it is looked up
among the loaded modules and never imported here: without it nothing is traced, and nothing is
needed. Spans call the user's samplers, processors and exporters. Hence they are made and ended
only in the threads of handlers and of the actor `traces`, and what they raise is logged once.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ocean_actors.actors import Cancelled
from ocean_actors.log import get_logger
from ocean_actors.text import one_line

if TYPE_CHECKING:
    from opentelemetry.trace import Span

logger = get_logger(__name__)

SCOPE = "ocean_actors"
Attributes = Mapping[str, str | int | float | bool]

_failures: set[type[BaseException]] = set()  # that were logged


def is_available() -> bool:
    """Returns whether the program has loaded OpenTelemetry's API."""
    return _loaded("opentelemetry.trace") is not None


class RunTrace:
    """The span of one run, which begins with its first handler's. Any thread may use it."""

    def __init__(self, started_at: datetime, attributes: Attributes) -> None:
        """Makes no span yet."""
        self._started_at = started_at
        self._attributes = attributes
        self._span: Span | None = None
        self._over = False
        self._lock = threading.Lock()  # handlers begin at the same time

    @contextlib.contextmanager
    def handler(self, name: str) -> Iterator[None]:
        """Makes the span of a handler current in this thread and its tasks, until the end."""
        span = None
        with _guarded():
            span = self._begin(name)
        with _current(span):
            yield

    def end(self, ended_at: datetime, status: str, failures: str, counts: Attributes) -> None:
        """Ends the span; a handler that begins later has none."""
        with self._lock:
            self._over = True
            span, self._span = self._span, None
        if span is None:
            return
        with _guarded():
            span.set_attributes({"ocean.run.status": status, **counts})
            if status == "failed":
                _set_error(span, failures)
            span.end(_nanoseconds(ended_at))

    def _begin(self, name: str) -> Span | None:
        trace, context = _loaded("opentelemetry.trace"), _loaded("opentelemetry.context")
        if trace is None or context is None:
            return None
        tracer = trace.get_tracer(SCOPE)
        with self._lock:
            if self._over:
                return None
            if self._span is None:
                self._span = tracer.start_span(
                    "resync",
                    context.Context(),
                    attributes=self._attributes,
                    start_time=_nanoseconds(self._started_at),
                )
            parent = trace.set_span_in_context(self._span, context.Context())
        attributes = {**self._attributes, "ocean.handler": name}
        span: Span = tracer.start_span(f"handler {name}", parent, attributes=attributes)
        return span


@contextlib.contextmanager
def call_to_port(method: str, url: str) -> Iterator[CallSpan]:
    """Makes a span of a call to Port, if it is made for a handler; otherwise none."""
    call = CallSpan()
    with _guarded():
        call = CallSpan(_begin_call(method, url))
    with _current(call.span):
        yield call


class CallSpan:
    """The span of one call, or None."""

    def __init__(self, span: Span | None = None) -> None:
        self.span = span

    def answered(self, status: int) -> None:
        """Notes the status of the answer."""
        if self.span is not None:
            with _guarded():
                self.span.set_attribute("http.response.status_code", status)
                if status >= 400:
                    _set_error(self.span, "")


def _begin_call(method: str, url: str) -> Span | None:
    trace = _loaded("opentelemetry.trace")
    if trace is None or not trace.get_current_span().get_span_context().is_valid:
        return None
    span: Span = trace.get_tracer(SCOPE).start_span(
        f"Port {method}",
        kind=trace.SpanKind.CLIENT,
        attributes={"http.request.method": method, "url.full": url.partition("?")[0]},
    )
    return span


@contextlib.contextmanager
def _current(span: Span | None) -> Iterator[None]:
    """Has `span` be the current one, ends it, and notes in it what the block raises."""
    trace, context = _loaded("opentelemetry.trace"), _loaded("opentelemetry.context")
    if span is None or trace is None or context is None:
        yield
        return
    token = context.attach(trace.set_span_in_context(span))
    try:
        yield
    except Cancelled:  # as asked, so not an error
        raise
    except BaseException as error:
        with _guarded():
            _set_error(span, one_line(error))
        raise
    finally:
        context.detach(token)
        with _guarded():
            span.end()


def _set_error(span: Span, description: str) -> None:
    trace = _loaded("opentelemetry.trace")
    if trace is not None:
        span.set_status(trace.StatusCode.ERROR, description or None)


@contextlib.contextmanager
def _guarded() -> Iterator[None]:
    """Logs the first failure of each type: a tracer must not end what it looks at."""
    try:
        yield
    except Exception as error:  # noqa: BLE001  (the user's tracer may raise anything)
        if type(error) not in _failures:
            _failures.add(type(error))
            logger.warning("OpenTelemetry failed, so spans are missing: %s", one_line(error))


def _loaded(name: str) -> Any:
    """Returns a module if it was imported completely, else None."""
    module = sys.modules.get(name)
    spec = getattr(module, "__spec__", None)
    return None if getattr(spec, "_initializing", False) else module


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1e9)
