"""What a worker sends can be unpickled where the user's modules are not."""

from __future__ import annotations

import logging
import pickle
from enum import Enum

from ocean_actors.shards.chunks import Chunks
from ocean_actors.shards.executor import Entities
from ocean_actors.shards.process_main import portable


class UserText(str, Enum):
    """A subclass of str in a module of the user's."""

    THING = "thing"


def test_entities_hold_no_class_of_the_user_s() -> None:
    sent: list[Entities] = []
    chunks = Chunks("Handler.resync_shard", sent.append)
    chunks.add((UserText.THING, {"identifier": UserText.THING, "title": UserText.THING}))
    chunks.flush()
    assert sent[0].groups[0][0] == "thing"
    assert b"test_chunks" not in pickle.dumps(sent)


def test_a_line_of_the_log_holds_no_class_of_the_user_s() -> None:
    record = logging.makeLogRecord({"msg": UserText.THING, "what": UserText.THING})
    assert b"test_chunks" not in pickle.dumps(portable(record))
