"""A process that a test has in place of the child of Port Ocean: `impostor.py MODE IN OUT`.

It needs nothing but Python, so it starts at once.
"""

from __future__ import annotations

import json
import os
import sys
import time


def main(mode: str, commands: int, events: int) -> None:
    def say(event: str, **fields: object) -> None:
        os.write(events, json.dumps({"event": event, **fields}).encode() + b"\n")

    if mode == "dies":
        sys.stderr.write("it has no wheels\n")
        sys.exit(9)
    if mode == "never":
        time.sleep(3600)
    if mode == "late":
        while not os.path.exists("../go"):
            time.sleep(0.02)
    if mode == "closes":
        os.close(events)
        time.sleep(3600)
    if mode == "garbage":
        os.write(events, b"\x1b[31mhello\n\xff\xfe\n[1]\n" + b"x" * 3_000_000 + b"\n")
        for _ in range(1000):
            os.write(events, b"more\n")
        say("surprise")
    say("ready", port=1, version="0.50.0", kinds=["wheel"])
    with open(commands, "rb") as stream:
        for line in stream:
            command = json.loads(line)
            if command["command"] == "exit":
                break
            if command["command"] == "run" and mode == "stuck":
                say("progressed", run=command["run"])
            elif command["command"] == "run":
                say("finished", run=999, status="failed", failure="of another run")
                say("finished", run=command["run"], status="completed", failure=None)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
