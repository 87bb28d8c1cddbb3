"""Servers whose POST does nothing: `python -m benchmarks.peers.web bottle|fastapi PORT`."""

from __future__ import annotations

import logging
import sys

from benchmarks.subject import say

THREADS = 8  # `http.threads` by default


def serve_bottle(port: int) -> None:
    import bottle  # type: ignore[import-untyped]  # it has no types
    import waitress  # type: ignore[import-untyped]  # it has no types

    logging.getLogger("waitress").setLevel(logging.ERROR)
    app = bottle.Bottle()
    app.route("/resync", "POST", lambda: "null")
    server = waitress.create_server(app, host="127.0.0.1", port=port, threads=THREADS)
    say("ready")
    server.run()


def serve_fastapi(port: int) -> None:
    import fastapi
    import uvicorn

    app = fastapi.FastAPI(on_startup=[lambda: say("ready")])

    @app.post("/resync")
    async def resync() -> None:
        """Do nothing."""

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")


if __name__ == "__main__":
    {"bottle": serve_bottle, "fastapi": serve_fastapi}[sys.argv[1]](int(sys.argv[2]))
