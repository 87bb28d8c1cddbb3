"""The control server: a dashboard, status and steering for the people who run integrations."""

HEADER = "X-Ocean-Actors"
"""Of calls that change something, with the value 1: pages of other sites cannot send it."""
