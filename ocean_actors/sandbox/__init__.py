"""A local stand-in of Port's API: for the demo, the examples and the tests. See docs/sandbox.md."""

from ocean_actors.sandbox.server import Sandbox

__all__ = ["Sandbox"]
