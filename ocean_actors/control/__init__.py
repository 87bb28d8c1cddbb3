"""The control server: a dashboard, status and steering for the people who run integrations."""

HEADER = "X-Ocean-Actors"
"""The header, with the value 1, of calls that change something; other sites cannot send it."""

DEFAULT_URL = "http://127.0.0.1:8001"
"""The address of the dashboard unless the settings name another one."""
