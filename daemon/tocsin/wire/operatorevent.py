"""The body of a webhook to the operator (push.md, PU-56; Standard Webhooks 1.0)."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import orjson

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def event_body(name: str, at: int, data: Mapping[str, object]) -> bytes:
    """`{"type","timestamp","data"}`; `at` is epoch milliseconds, written as RFC 3339 in UTC."""
    instant = (EPOCH + timedelta(milliseconds=at)).isoformat(timespec="milliseconds")
    document = {"type": name, "timestamp": instant.replace("+00:00", "Z"), "data": dict(data)}
    return orjson.dumps(document, default=str)
