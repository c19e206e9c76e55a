"""What clients send: bodies and WebSocket messages of the framed transports (SJ-17, SJ-18).

orjson reads what it can. It refuses lone surrogates, which framed transports must let through,
and numbers beyond a double, which are JSON; so whatever it refuses is read once more by `json`,
held to the grammar of RFC 8259, before it is called broken. Nesting too deep for `json` is
called broken too: nothing nested is accepted anyway.
"""

import json
import re
from typing import Any, Final, NoReturn
from urllib.parse import unquote_to_bytes

import orjson

from tocsin.wire.sockjs.refusals import Refusal

FORM: Final = "application/x-www-form-urlencoded"
_FIELD: Final = re.compile(rb"(?:^|&)d=([^&]*)")


def websocket_messages(text: bytes) -> list[str] | None:
    """The messages of a framed WebSocket's text; None: broken framing, close with 3000 (SJ-17)."""
    if not text:
        return []
    try:
        value = _loads(text)
    except ValueError:
        return None
    if isinstance(value, str):
        return [value]
    return value if isinstance(value, list) and _are_strings(value) else None


def xhr_messages(body: bytes) -> list[str] | Refusal:
    """The messages of an xhr_send body, whatever its content type says (SJ-18)."""
    if not body:
        return Refusal.PAYLOAD_EXPECTED
    try:
        value = _loads(body)
    except ValueError:
        return Refusal.BROKEN_JSON
    if not isinstance(value, list):
        return Refusal.PAYLOAD_EXPECTED
    return value if _are_strings(value) else Refusal.BROKEN_JSON


def jsonp_messages(body: bytes, content_type: str | None) -> list[str] | Refusal:
    """The messages of a jsonp_send body: of its field `d` if it is a form (SJ-18)."""
    if content_type is not None and content_type.partition(";")[0].strip().lower() == FORM:
        field = _FIELD.search(body)
        body = unquote_to_bytes(field[1].replace(b"+", b" ")) if field else b""
    return xhr_messages(body)


def _are_strings(values: list[Any]) -> bool:
    return all(type(value) is str for value in values)


def _loads(data: bytes) -> Any:
    """A JSON value in which numbers may be anything. Raises ValueError for what is not JSON."""
    try:
        return orjson.loads(data)
    except ValueError:
        pass
    try:
        return json.loads(
            data.decode("utf-8"),
            parse_int=_number,
            parse_float=_number,
            parse_constant=_not_json,
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _number(_digits: str) -> int:
    """No number is ever looked at, and making one of a million digits takes long."""
    return 0


def _not_json(word: str) -> NoReturn:
    """NaN and Infinity, which `json` would let pass."""
    raise ValueError(f"{word} is not JSON")
