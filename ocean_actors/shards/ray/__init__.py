"""The executor `ray`: workers are actors of a Ray cluster.

    run's process: executor.py, link.py ──socket──▶ driver.py ──Ray──▶ worker.py, one per worker

Only the driver, a process of its own, is connected to Ray: Ray changes signal handlers, ends the
processes that it has started when the thread that called it ends, and ends its own process if
the cluster is lost. None of that may happen to the run's process.
"""
