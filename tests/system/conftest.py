"""Handlers that do what a test tells them, in their own threads."""

import asyncio
import queue
import threading

import pytest

from ocean_actors import ResyncHandler

WITHIN = 30.0


class Script:
    """What a test says to the handlers of one system, and hears of them."""

    def __init__(self):
        self.entered = queue.Queue()  # the runs in which a handler is at work
        self.go_on = threading.Semaphore(0)  # once for each handler that may finish

    def wait_until_at_work(self):
        return self.entered.get(timeout=WITHIN)

    def let_finish(self, times=1):
        self.go_on.release(times)


@pytest.fixture
def script():
    return Script()


@pytest.fixture
def scripted(script):
    """A handler that works until it is let go, and obeys an abort."""

    class Scripted(ResyncHandler):
        def resync(self, run):
            script.entered.put(run)
            while not script.go_on.acquire(timeout=0.01):
                run.check()

    return Scripted


@pytest.fixture
def scripted_async(script):
    """The same, as a coroutine."""

    class ScriptedAsync(ResyncHandler):
        async def resync(self, run):
            script.entered.put(run)
            while not script.go_on.acquire(blocking=False):
                await asyncio.sleep(0.01)

    return ScriptedAsync


class Quick(ResyncHandler):
    def resync(self, run):
        pass


class Failing(ResyncHandler):
    def resync(self, run):
        raise ValueError("no such repository")


@pytest.fixture
def quick():
    return Quick


@pytest.fixture
def failing():
    return Failing
