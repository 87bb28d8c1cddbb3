"""A status as a page for a terminal. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from ocean_actors.text import one_line

SHOWN_RUNS = 5

Json = Mapping[str, Any]


def report(status: Json) -> Iterator[str]:
    """Yields the lines of the page for `GET /api/status`'s answer."""
    now = _moment(status.get("now"))
    yield from _head(status, now)
    stopped = bool(status.get("stopped"))
    if not stopped:
        yield from _listening(status.get("listening") or {}, now)
        yield from _leader(status.get("leader") or {}, now)
        yield from _ocean(status.get("ocean") or {})
    resync = status.get("resync")
    if resync is None and not stopped:
        yield _row("resyncs", "the coordinator does not answer")
    elif resync is not None:
        yield from _present(resync, now)
        yield from _requests(resync, now)
        yield from _ended(resync.get("runs") or [], now)
    yield from _live(status.get("live") or {})
    yield from _actors(status)


def _head(status: Json, now: datetime | None) -> Iterator[str]:
    resync = status.get("resync") or {}
    state = "stopped" if status.get("stopped") else resync.get("state", "unknown")
    facts = [f"listens by {status.get('listener')}"]
    if status.get("version"):
        facts.append(f"ocean_actors {status['version']}")
    if status.get("startedAt") and not status.get("stopped"):
        facts.append(f"up {_since(status['startedAt'], now)}")
    if not status.get("registered"):
        facts.append("not registered with Port yet")
    yield one_line(f"{status.get('integration')}: {state}") + f" ({one_line(', '.join(facts))})"
    if status.get("cause"):
        yield _row("cause", status["cause"])


def _listening(listening: Json, now: datetime | None) -> Iterator[str]:
    facts = [_fact(name, value, now) for name, value in listening.items() if name != "state"]
    state = listening.get("state")
    yield _row("listener", ", ".join([state or "not started", *facts]))


def _leader(leader: Json, now: datetime | None) -> Iterator[str]:
    if leader:
        since = _since(leader.get("since"), now)
        error = f": {leader['error']}" if leader.get("error") else ""
        yield _row("leader", f"{leader.get('state')} for {since} ({leader.get('engine')}){error}")


def _ocean(ocean: Json) -> Iterator[str]:
    if ocean:
        facts = [str(ocean.get("state")), str(ocean.get("path"))]
        facts += [f"port-ocean {ocean['version']}"] if ocean.get("version") else []
        facts += [f"process {ocean['pid']}"] if ocean.get("pid") else []
        yield _row("ocean", ", ".join(facts))


def _present(resync: Json, now: datetime | None) -> Iterator[str]:
    for pause in resync.get("pauses") or []:
        yield _row("paused", f"by {pause['owner']}, {_ago(pause['since'], now)}: {pause['reason']}")
    run = resync.get("run")
    if run is None:
        yield _row("run", "none in flight")
        return
    kinds = f", only {', '.join(run['kinds'])}" if run.get("kinds") else ""
    about = f"{run['id']}: {run['reason']} ({run['trigger']})"
    yield _row("run", f"{about}, for {_since(run['startedAt'], now)}{kinds}")
    names = dict.fromkeys([*run.get("progress", {}), *run.get("handlers", [])])
    for name in names:
        progress = run.get("progress", {}).get(name, {})
        works = name in run.get("handlers", [])
        waiting = (run.get("waiting") or {}).get(name)
        told = _progress(progress, works=works)
        told += f", {waiting} of its calls wait for the rate limit" if waiting else ""
        yield f"  {one_line(name, 40):<24} {one_line(told)}"


def _progress(progress: Json, *, works: bool) -> str:
    done, total = progress.get("done"), progress.get("total")
    parts = []
    if done is not None and total:
        parts.append(f"{done} of {total} ({min(100, 100 * done // total)} %)")
    elif done is not None:
        parts.append(str(done))
    if not works:
        parts.append("finished")
    elif not parts:
        parts.append("at work")
    if works and progress.get("rate"):
        parts.append(f"{progress['rate']:.1f} per second")
    if works and progress.get("secondsLeft") is not None:
        parts.append(f"about {_seconds(progress['secondsLeft'])} left")
    if progress.get("message"):
        parts.append(progress["message"])
    return ", ".join(parts)


def _requests(resync: Json, now: datetime | None) -> Iterator[str]:
    pending = resync.get("pending") or []
    counts = [f"{resync.get('requests', 0)} taken"]
    if "covered" in resync:
        counts.append(f"{resync['covered']} covered")
    counts += [f"{resync.get('ignored', 0)} ignored", f"{len(pending)} waiting"]
    yield _row("requests", ", ".join(counts))
    for request in pending[:SHOWN_RUNS]:
        if isinstance(request, Mapping):
            about = one_line(f"{request.get('reason')} ({request.get('trigger')})")
            yield f"  {about}, {_ago(request.get('requestedAt'), now)}"


def _ended(runs: list[Json], now: datetime | None) -> Iterator[str]:
    if not runs:
        yield _row("runs", "none has ended yet")
        return
    counts = Counter(run["status"] for run in runs)
    told = ", ".join(f"{counts[each]} {each}" for each in ("completed", "failed", "aborted"))
    yield _row("runs", f"{told}; the latest:")
    for run in reversed(runs[-SHOWN_RUNS:]):
        failures = f": {run['failures'][0]}" if run.get("failures") else ""
        written = [
            f"{run[key]} {word}"
            for key, word in (
                ("entities", "sent"), ("failedEntities", "refused"), ("deletedEntities", "deleted"),
            )
            if run.get(key)
        ]  # fmt: skip
        entities = f", {', '.join(written)}" if written else ""
        text = f"{run['id']}, {_ago(run['startedAt'], now)}, {_seconds(run['seconds'])}{entities}"
        yield f"  {run['status']:<10} {one_line(text + failures)}"


def _live(paths: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    shown = ("queued", "running", "handled", "retried", "dead", "refused")
    for path, counts in paths.items():
        told = [f"{counts[each]} {each}" for each in shown if each == "handled" or counts.get(each)]
        yield _row("live", f"{path}: {', '.join(told)}")


def _actors(status: Json) -> Iterator[str]:
    actors = status.get("actors") or []
    restarts = sum(actor["restarts"] for actor in actors)
    letters = sum((status.get("deadLetters") or {}).values())
    yield _row("actors", f"{len(actors)}, restarts: {restarts}, dead letters: {letters}")
    for actor in actors:
        trouble = []
        if actor["hung"]:
            trouble.append(f"hung in {actor['message']} for {_seconds(actor['message_seconds'])}")
        elif actor["state"] not in {"running", "starting"}:
            trouble.append(actor["state"])
        if actor["failure"]:
            trouble.append(f"{actor['restarts']} restarts, the last failure: {actor['failure']}")
        if trouble:
            yield f"  {one_line(actor['name'], 40):<24} {one_line('; '.join(trouble))}"


def _row(name: str, text: object) -> str:
    return f"{name:<10} {one_line(text)}"


def _fact(name: str, value: object, now: datetime | None) -> str:
    words = "".join(f" {char.lower()}" if char.isupper() else char for char in name)
    if name.endswith("At"):
        return f"{words.removesuffix(' at')} {_ago(value, now)}"
    return f"{words} {value}"


def _moment(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return None


def _gap(text: object, now: datetime | None) -> float | None:
    then = _moment(text)
    if then is None or now is None or (then.tzinfo is None) != (now.tzinfo is None):
        return None
    return (now - then).total_seconds()


def _since(text: object, now: datetime | None) -> str:
    gap = _gap(text, now)
    return "an unknown time" if gap is None else _seconds(max(0.0, gap))


def _ago(text: object, now: datetime | None) -> str:
    gap = _gap(text, now)
    if gap is None:
        return "at an unknown time"
    return f"{_seconds(gap)} ago" if gap >= 0 else f"in {_seconds(-gap)}"


def _seconds(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} days"
