"""Resyncs: copy the tracker's users, projects and issues into Port, as Port's mapping says."""

from collections.abc import Callable, Iterable

from ocean_actors import ResyncHandler, ResyncRun
from tracker_api import Item, TrackerApi

CALLS_PER_SECOND = 15.0
"""Of all handlers together; the tracker allows 20."""


class Users(ResyncHandler):
    """Sends all users."""

    kinds = ("user",)
    blueprints = "blueprints/tracker.yaml"

    def resync(self, run: ResyncRun) -> None:
        send(run, "user", tracker(run).users)


class Projects(ResyncHandler):
    """Sends all projects, each with a relation to the user who leads it."""

    kinds = ("project",)
    blueprints = "blueprints/tracker.yaml"

    def resync(self, run: ResyncRun) -> None:
        send(run, "project", tracker(run).projects)


class Issues(ResyncHandler):
    """Sends all issues, each with relations to its project and its assignee."""

    kinds = ("issue",)
    blueprints = "blueprints/tracker.yaml"

    def resync(self, run: ResyncRun) -> None:
        send(run, "issue", tracker(run).issues)


def tracker(run: ResyncRun) -> TrackerApi:
    """Returns the API with the run's session, which is limited."""
    run.session.limit(per_second=CALLS_PER_SECOND)
    return TrackerApi(run.session, run.settings.integration.config)


def send(run: ResyncRun, kind: str, items: Callable[[], Iterable[Item]]) -> None:
    """Send what Port's mapping makes of the items, then delete what no longer exists."""
    for resource in run.resources(kind):
        run.port.upsert(kind, resource.entities(run.guard(items())))
    run.port.reconcile()
