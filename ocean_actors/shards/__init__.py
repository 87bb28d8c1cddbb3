"""The work of a handler, cut into shards that workers do: threads, processes, a Ray cluster."""
