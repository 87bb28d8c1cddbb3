"""A local stand-in for Port's API, for the demo, examples and tests; see docs/sandbox.md."""

from ocean_actors.sandbox.server import Sandbox

__all__ = ["Sandbox"]
