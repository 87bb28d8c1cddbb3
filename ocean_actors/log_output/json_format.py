"""The format of the log for programs: a JSON object in each line."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timezone
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from ocean_actors.jsonable import jsonable
from ocean_actors.log import FIELDS


class JsonLineFormatter(JsonFormatter):
    """Formats a record as one line of JSON in ASCII.

    The fields are `time` (ISO 8601, UTC), `level`, `logger` and `message`; where they apply
    `integration`, `run`, `trigger`, `handler` and `shard`, `exc` and `stack` (a traceback, a
    stack), and `repeated` (how often the message came again). Other fields are what the logging
    call gave as `extra`, or as a dict in place of the message; they replace none of the above.
    """

    def __init__(self) -> None:
        super().__init__(json_serializer=_serialize)

    def add_fields(
        self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]
    ) -> None:
        """Fill `log_data`."""
        fields = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(
                timespec="milliseconds"
            ),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **{name: getattr(record, name, None) for name in FIELDS},
            "exc": message_dict.pop("exc_info", None),
            "stack": message_dict.pop("stack_info", None),
        }
        log_data.update((name, value) for name, value in fields.items() if value is not None)
        more: dict[str, Any] = {}
        super().add_fields(more, record, message_dict)
        for name, value in more.items():
            if name not in fields:
                log_data[name] = jsonable(value)


def _serialize(log_data: dict[str, Any], **_options: object) -> str:
    return json.dumps(log_data, default=str, allow_nan=False)
