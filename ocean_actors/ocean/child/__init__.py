"""Runs an integration of Port Ocean for ocean_actors, in the integration's own interpreter.

`process.py` beside this folder starts it. It runs in the integration's folder and imports nothing
but the standard library, port_ocean and its own modules, so that ocean_actors need not be
installed there. Commands are read from one descriptor and events are written to another, as
`protocol.py` describes them.

Port Ocean is used as its command `ocean sail` uses it, except that
- its event listener does nothing: the parent says when a resync runs;
- `sync_raw_all` of the integration asks the parent for a resync;
- the state of resyncs is not reported to Port, as the parent does that; the metrics are;
- there is no schedule of its own;
- each resync runs in a copy of one context, which already has the HTTP clients;
- its web server listens on the loopback, on a free port.
"""
