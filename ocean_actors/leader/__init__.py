"""Which of several instances runs the resyncs: the election, its engines, and the lease."""
