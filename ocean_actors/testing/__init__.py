"""Tools for tests of integrations and custom actors; see docs/testing.md."""

from ocean_actors.testing.manual_clock import ManualClock
from ocean_actors.testing.probe import Probe, wait_idle
from ocean_actors.testing.sandboxed import SandboxedSystem

__all__ = ["ManualClock", "Probe", "SandboxedSystem", "wait_idle"]
