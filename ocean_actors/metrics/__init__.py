"""Metrics for Prometheus; docs/observability.md explains each.

`snapshot` has the values, `catalog` the names, `samples` joins them. Only `collector` imports
prometheus-client.
"""
