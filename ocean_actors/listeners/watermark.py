"""What a resync was already requested for: pure, no clock and no network."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ocean_actors.frozen import FrozenDict
from ocean_actors.messages import PortRequest

REMEMBERED = 16  # requests of Port, so that an old answer of one of its servers is recognised


@dataclass(frozen=True)
class Watermark:
    """The newest config and requests that a resync was requested for, or that need none.

    This differs from what was settled, which Port's own record of the last run says (see
    `recovery`). If one watermark served both, every look at Port during a run would request, and
    so abort, that run again.
    """

    config: FrozenDict | None = None  # None: nothing was seen yet
    requests: tuple[PortRequest, ...] = ()

    def ran(self, config: FrozenDict, request: PortRequest | None) -> Watermark:
        """Returns the watermark after a run began with `config`, answering `request`."""
        return replace(self, config=config, requests=self._with(request))

    def advance(
        self, config: FrozenDict, request: PortRequest | None, first: str | None
    ) -> tuple[Watermark, str | None]:
        """Returns the watermark after this answer of Port, and why a resync is needed, or None.

        `first` is the reason if nothing was seen before. The config is compared as a whole, as
        `updatedAt` also moves with every report of a run. A request is new if its id or its time
        was not seen before, whether its time is later or not: Port's clock may be set back.
        """
        seen = replace(self, config=config, requests=self._with(request))
        if self.config is None:
            return seen, first
        requested = request is not None and request not in self.requests
        if config != self.config:
            suffix = ", resync requested" if requested else ""
            return seen, f"configuration changed{suffix}"
        return seen, "resync requested" if requested else None

    def _with(self, request: PortRequest | None) -> tuple[PortRequest, ...]:
        if request is None or request in self.requests:
            return self.requests
        return (*self.requests, request)[-REMEMBERED:]
