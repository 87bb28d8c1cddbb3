"""The work of a handler, cut into shards that workers do: threads, processes, a Ray cluster."""

in_worker = False
"""Whether this process is a worker, in which no system may be started."""
