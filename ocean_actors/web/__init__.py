"""Serves HTTP: a WSGI server with limits, small JSON applications, and Port's signatures."""
