"""Integrations of Port Ocean, run unchanged in a child process."""
