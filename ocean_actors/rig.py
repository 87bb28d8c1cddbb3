from ocean_actors.testing.sandboxed import *  # noqa: D100, F403
from ocean_actors.testing.sandboxed import EventRecorder, port_of  # noqa: F401
