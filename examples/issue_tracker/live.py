"""Live events: the tracker calls `POST /live/tracker` when something has changed."""

from ocean_actors import Live, LiveCall, LiveHandler
from ocean_actors.live.signatures import hmac_sha256
from tracker_api import TrackerApi

HEADER = "X-Tracker-Signature"


class TrackerChanged(LiveHandler):
    """Brings one changed user, project or issue to Port."""

    path = "tracker"

    def authenticate(self, call: LiveCall) -> bool:
        return hmac_sha256(call, self.settings.integration.config["hookSecret"], HEADER)

    def key(self, call: LiveCall) -> str:
        change = call.json()
        return f"{change['kind']}/{change['id']}"

    def handle(self, call: LiveCall, live: Live) -> None:
        kind, _, key = self.key(call).partition("/")
        item = TrackerApi(live.session, live.settings.integration.config).item(kind, key)
        if item is None:
            live.port.delete(kind, [key])
        else:
            for resource in live.resources(kind):
                live.port.upsert(kind, resource.entities([item]))
        live.logger.info("%s %s was brought to Port", kind, key)
