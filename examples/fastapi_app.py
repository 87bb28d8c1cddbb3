"""An integration inside a FastAPI application, in the event loop of its server.

pip install fastapi uvicorn a2wsgi
uvicorn --factory fastapi_app:from_environment
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from a2wsgi import WSGIMiddleware
from fastapi import FastAPI
from starlette.types import ASGIApp

from ocean_actors import OceanSystem, ResyncHandler, ResyncRun, RunEnded, Settings


class Planets(ResyncHandler):
    """Sends some planets, as they come from a source that is read asynchronously."""

    kinds = ("planet",)
    blueprints = ({"identifier": "planet", "title": "Planet"},)

    async def resync(self, run: ResyncRun) -> None:
        """Send all planets, then delete those that no longer exist."""
        await run.port.aupsert("planet", planets())
        await run.port.areconcile(max_share=1.0)


async def planets() -> AsyncIterator[dict[str, object]]:
    """Yields an entity for each planet."""
    for name in ("Mercury", "Venus", "Earth"):
        await asyncio.sleep(0)  # here an application awaits its database, for instance
        yield {"identifier": name.lower(), "title": name}


def application(settings: Settings) -> FastAPI:
    """Returns the application; the integration runs while the application does."""
    system = OceanSystem(settings, [Planets], serve_http=False)
    ended: list[str] = []

    async def note() -> None:
        async for event in system.events(RunEnded):  # ends when the system has stopped
            ended.append(f"{event.run.reason}: {event.status}")
            del ended[:-100]

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None, None]:
        noting = asyncio.create_task(note())
        async with system:
            yield
        await noting

    app = FastAPI(lifespan=lifespan)

    @app.get("/runs")
    async def runs() -> list[str]:
        return ended

    @app.post("/resync", status_code=202)
    async def resync() -> str:
        return system.request_resync("asked over HTTP")

    # The cast is for type checkers: the two packages describe ASGI's messages differently.
    app.mount("/ocean", cast("ASGIApp", WSGIMiddleware(system.wsgi_app)))
    return app


def from_environment() -> FastAPI:
    """Returns the application with the settings that the environment and `.env` contain."""
    return application(Settings.from_environment())
