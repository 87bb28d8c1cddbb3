"""The executor `ray`: workers are actors of a Ray cluster.

    run's process: executor.py, link.py ──socket──▶ driver.py ──Ray──▶ worker.py, one per worker

Only the driver, a process of its own, is connected to Ray: Ray changes signal handlers, ends the
processes that it has started with the thread that called it, and ends its process if the cluster
is lost. None of that may happen to the run's process.
"""
