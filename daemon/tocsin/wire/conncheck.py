"""The application-level ping-pong of notification sockets (channels.md, CH-53 to CH-55)."""

import json
import math
from typing import Any, NoReturn

import attrs
import orjson

CONN_ACK = b'{"connAck":{}}'
LONGEST_INTERVAL = 3600


@attrs.frozen
class ConnCheck:
    """The client checks the connection; `interval` seconds, None where it is not usable."""

    interval: float | None


@attrs.frozen
class ConnAck:
    """The client answers a check of ours."""


@attrs.frozen
class Ignored:
    """Anything else; `legacy` is the old ping that is tolerated (CH-53)."""

    legacy: bool = False


ClientMessage = ConnCheck | ConnAck | Ignored


def parse(payload: bytes) -> ClientMessage:
    """What a client's text message means; never raises."""
    message = _loads(payload)
    if not isinstance(message, dict):
        return Ignored()
    if "connCheck" in message:
        check = message["connCheck"]
        return ConnCheck(_interval(check.get("interval") if isinstance(check, dict) else None))
    if "connAck" in message:
        return ConnAck()
    return Ignored(legacy=message.get("message_type") == "ping")


def conn_check(interval: float) -> bytes:
    """A check of ours."""
    number = int(interval) if interval == int(interval) else interval
    return orjson.dumps({"connCheck": {"interval": number}})


def _loads(payload: bytes) -> Any:
    """The JSON value, None for what is none. Numbers beyond a double, which orjson refuses, are
    numbers all the same: their check is answered (CH-54)."""
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError:
        if b"connCheck" not in payload:
            return None
    try:
        return json.loads(payload.decode(), parse_int=float, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return None


def _no_number(name: str) -> NoReturn:
    raise ValueError(name)


def _interval(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and 0 < value <= LONGEST_INTERVAL else None
