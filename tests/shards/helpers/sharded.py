"""Handlers for the tests, in a module that worker processes import, and what they share."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

from ocean_actors import ResyncRun, RetryLater, Shard, ShardedHandler

Yielded = Iterator[tuple[str, Mapping[str, object]]]
BLUEPRINT = {"identifier": "thing", "title": "Thing"}


class Sharded(ShardedHandler):
    """Does what each shard says: its value is the name of a method, and its arguments."""

    kinds = ("thing",)
    blueprints = (BLUEPRINT,)

    def shards(self, run: ResyncRun) -> list[object]:
        listed: list[object] = json.loads(
            Path(run.settings.integration.config["file"]).read_text(encoding="utf-8")
        )
        return listed

    def resync_shard(self, shard: Shard) -> Yielded:
        name, *arguments = shard.value
        result: Yielded = getattr(self, name)(shard, *arguments)
        return result

    def things(self, shard: Shard, count: int, prefix: str = "thing") -> Yielded:
        for number in range(count):
            yield "thing", {"identifier": f"{prefix}-{number}"}

    def chain(self, shard: Shard, number: int, next_one: int | None) -> Yielded:
        """Yield one that relates to another."""
        relations = {} if next_one is None else {"next": f"chain-{next_one}"}
        yield "thing", {"identifier": f"chain-{number}", "relations": relations}

    async def things_async(self, shard: Shard, count: int) -> AsyncIterator[object]:
        for number in range(count):
            yield "thing", {"identifier": f"thing-{number}"}

    def counted(self, shard: Shard, count: int, file: str) -> Yielded:
        """Write into a file how many were yielded."""
        with Path(file).open("wb", buffering=0) as written:
            for number in range(count):
                os.pwrite(written.fileno(), str(number + 1).encode(), 0)
                yield "thing", {"identifier": f"thing-{number}", "title": "x" * 1000}

    def endless(self, shard: Shard, began: str) -> Yielded:
        """Yield for ever; obeys an abort."""
        Path(began).touch()
        while True:
            shard.sleep(0.001)
            yield "thing", {"identifier": "thing"}

    def waits(self, shard: Shard, began: str, ended: str) -> Yielded:
        """Wait until it is aborted."""
        try:
            _write(began, os.getpid())
            shard.sleep(3600)
            yield "thing", {"identifier": "thing"}
        finally:
            Path(ended).write_text(type(shard.value).__name__)

    def hangs(self, shard: Shard, began: str, until: str) -> Yielded:
        """Obey no abort, until a file exists."""
        _write(began, os.getpid())
        while not Path(until).exists():
            time.sleep(0.01)
        yield "thing", {"identifier": "thing"}

    def dies(self, shard: Shard, attempts: int = 1_000_000) -> Yielded:
        """Lose the worker, in the first attempts."""
        yield "thing", {"identifier": "thing-0"}
        if shard.attempt <= attempts:
            os.kill(os.getpid(), signal.SIGKILL)
        yield "thing", {"identifier": "thing-1"}

    def leaves(self, shard: Shard, code: int) -> Yielded:
        yield "thing", {"identifier": "thing"}
        os._exit(code)

    def searches(self, shard: Shard, file: str) -> Yielded:
        """Use the processor for ever, within C code that lets no other thread run."""
        _write(file, os.getpid())
        re.match(r"(a+)+$", "a" * 40 + "b")
        yield "thing", {"identifier": "thing"}

    def writes_pid(self, shard: Shard, file: str) -> Yielded:
        _write(file, os.getpid())
        yield "thing", {"identifier": "thing"}

    def starts_a_process(self, shard: Shard, file: str) -> Yielded:
        with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"]) as child:
            _write(file, child.pid)
        yield "thing", {"identifier": "thing"}

    def dies_and_leaves(self, shard: Shard, file: str, forked: bool) -> Yielded:
        """Leave a process behind."""
        sleep = [sys.executable, "-c", "import time; time.sleep(3600)"]
        child = os.fork() if forked else subprocess.Popen(sleep).pid
        if child == 0:
            time.sleep(3600)
            os._exit(0)
        _write(file, child)
        os.kill(os.getpid(), signal.SIGKILL)
        yield "thing", {"identifier": "thing"}

    def forks(self, shard: Shard) -> Yielded:
        """Go on in two processes, of which the second one logs."""
        child = os.fork()
        ended = "in the child"
        if child == 0:
            logging.getLogger("forked").warning("by the child")
        else:
            _, status = os.waitpid(child, 0)
            ended = f"exit code {os.waitstatus_to_exitcode(status)}"
        yield "thing", {"identifier": ended}

    def secret(self, shard: Shard) -> Yielded:
        yield "thing", {"identifier": shard.settings.port.client_secret.get_secret_value()}

    def secrets(self, shard: Shard) -> Yielded:
        token = shard.settings.control.token
        yield (
            "thing",
            {
                "identifier": "secrets",
                "port": shard.settings.port.client_secret.get_secret_value(),
                "control": None if token is None else token.get_secret_value(),
            },
        )

    def raises(self, shard: Shard, text: str) -> Yielded:
        yield "thing", {"identifier": "thing"}
        raise ValueError(text)

    def exits(self, shard: Shard) -> Yielded:
        yield "thing", {"identifier": "thing"}
        raise SystemExit(3)

    def retries_later(self, shard: Shard, seconds: float) -> Yielded:
        yield "thing", {"identifier": "thing"}
        raise RetryLater(seconds)

    def yields(self, shard: Shard, value: object) -> Iterator[object]:
        yield value

    def returns(self, shard: Shard, value: object) -> object:
        return value

    def progresses(self, shard: Shard) -> Yielded:
        shard.progress(3, 7, "page 3")
        yield "thing", {"identifier": "thing"}

    def logs(self, shard: Shard) -> Yielded:
        shard.logger.warning("by the shard's logger: %s", shard.name)
        logging.getLogger("somebody.else").warning("by another logger")
        yield "thing", {"identifier": "thing"}

    def knows(self, shard: Shard) -> Yielded:
        """Yield what it knows."""
        yield (
            "thing",
            {
                "identifier": shard.name,
                "config": shard.config,
                "kinds": shard.kinds,
                "parameters": shard.parameters,
                "settings": shard.settings.integration.config,
                "run": shard.run_id,
                "attempt": shard.attempt,
            },
        )

    def limited(self, shard: Shard) -> Yielded:
        limits = shard.session._limiter.limits
        yield "thing", {"identifier": "thing", "limits": limits}

    def object_and_process(self, shard: Shard) -> Yielded:
        yield "thing", {"identifier": f"{os.getpid()}-{id(self)}"}


def _write(file: str, number: int) -> None:
    """Write a file that has its content as soon as it exists."""
    Path(f"{file}.new").write_text(str(number), encoding="utf-8")
    Path(f"{file}.new").rename(file)


class Pair(Sharded):
    """Lists what cannot be pickled, beside what can."""

    def shards(self, run: ResyncRun) -> list[object]:
        return [*super().shards(run), (threading.Lock(),)]


class Needy(Sharded):
    """Is built with an argument."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix

    def resync_shard(self, shard: Shard) -> Yielded:
        yield "thing", {"identifier": f"{self.prefix}-{shard.value}"}


class NotLoadable(ShardedHandler):
    """Cannot be built where there is a worker."""

    def __init__(self) -> None:
        raise ImportError("no module named 'missing'")

    def shards(self, run: ResyncRun) -> list[str]:
        return ["one"]

    def resync_shard(self, shard: Shard) -> Yielded:
        yield from ()
