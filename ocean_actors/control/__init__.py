"""The control server: a dashboard, status and steering for the people who run integrations."""
