"""Times as Port writes them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

_ISO_8601 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?"
    r"(?:(Z|z)|([+-])(\d\d):?(\d\d)?)?",
    re.ASCII,
)


def parse_time(value: object) -> datetime | None:
    """Returns an ISO 8601 time in UTC, or None if `value` is not one.

    A time without a zone is taken as UTC. Fractions beyond microseconds are cut. Unlike
    `datetime.fromisoformat` it reads the same texts on every supported Python.
    """
    if not isinstance(value, str):
        return None
    match = _ISO_8601.fullmatch(value)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, _z, sign, hours, minutes = match.groups()
    try:
        local = datetime(
            int(year), int(month), int(day), int(hour), int(minute), int(second or 0),
            int((fraction or "0").ljust(6, "0")[:6]), timezone.utc,
        )  # fmt: skip
        offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
        return local + offset if sign == "-" else local - offset
    except (ValueError, OverflowError):  # a 13th month; an offset that leaves year 1 or 9999
        return None
