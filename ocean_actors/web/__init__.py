"""HTTP towards us: a WSGI server that stops when told, and what is served on it."""
