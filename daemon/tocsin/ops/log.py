"""The log: structured events on standard output (OP-17).

Event names are dotted past facts (`delivery.settled`), everything else is a field. JSON lines
unless somebody watches on a terminal. What must not be seen is taken out here, whoever logged
it: values by their key at any depth, tokens inside texts (SE-7).

A method below the level costs next to nothing on a logger that was bound once
(`structlog.get_logger().bind(...)`): it does nothing at all there.
"""

import json
import logging
import re
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, BinaryIO, cast

import attrs
import orjson
import structlog
from structlog.typing import EventDict, WrappedLogger

from tocsin.model.option import option

LEVELS = ("debug", "info", "warning", "error", "critical")
FORMATS = ("auto", "json", "console")

SECRET_KEYS = frozenset(
    {
        *("authorization", "proxy_authorization", "x_authorization", "cookie", "set_cookie"),
        *("token", "access_token", "id_token", "refresh_token", "device_token", "x_devicetoken"),
        *("secret", "client_secret", "shared_secret", "signing_secret", "password", "passwd"),
        *("api_key", "apikey", "private_key", "master_key", "credential", "assertion"),
        *("body", "payload", "request_body", "response_body", "callback_data"),
    }
)
TOKENS = re.compile(
    r"(?P<kept>\b(?:access_token|apiKey)=|\b(?:Bearer|Basic)\s+)[^\s&\"'#,;]+"
    r"|\beyJ[\w-]+\.[\w-]+\.[\w-]*",
    re.IGNORECASE,
)
HIDDEN = "***"
DEPTH_LIMIT = 8
TEXT_LIMIT = 8192
TRACEBACK_FRAMES = 20


@attrs.frozen
class LogSettings:
    """`[log]`"""

    level: str = option("info", "Events below this level are not logged.", choices=LEVELS)
    format: str = option(
        "auto", "JSON lines, or for people; auto looks for a terminal.", choices=FORMATS
    )


def configure(level: str = "info", format: str = "auto") -> None:  # noqa: A002 - the option's name
    """Send the events of the whole process to standard output; may be called again."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            render_exception,
            redact,
            *_renderer(format),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.BytesLoggerFactory(cast("BinaryIO", _Output(sys.stdout.buffer))),
        cache_logger_on_first_use=False,
    )


class _Output:
    """Where lines go. A full disk or a reader that went away costs lines, not the daemon: a few
    KiB wait in the stream's own buffer, what does not fit there is dropped."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, line: bytes) -> int:
        with suppress(OSError):
            self._stream.write(line)
        return len(line)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def _renderer(format: str) -> list[Any]:  # noqa: A002 - the option's name
    if format == "json" or (format == "auto" and not sys.stdout.isatty()):
        return [_json]
    # Quoted values: what a peer sent cannot drive the terminal.
    console = structlog.dev.ConsoleRenderer(
        colors=sys.stdout.isatty(), repr_native_str=True, timestamp_key="time"
    )
    return [console, _encode]


def _json(_logger: WrappedLogger, _method: str, event: EventDict) -> bytes:
    try:
        return orjson.dumps(event)
    except orjson.JSONEncodeError:  # lone surrogates, integers past 64 bits
        return json.dumps(event).encode()


def _encode(_logger: WrappedLogger, _method: str, line: Any) -> bytes:
    return str(line).encode(errors="backslashreplace")


def render_exception(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """`exc_info` becomes a traceback of bounded length, without local variables."""
    error = event.pop("exc_info", None)
    if error and not isinstance(error, BaseException):
        error = error[1] if isinstance(error, tuple) else sys.exc_info()[1]
    if error:
        event["exception"] = traceback_text(error)
    return event


def traceback_text(error: BaseException) -> str:
    """The last frames of an exception and of its causes; the middle is cut if it is too long."""
    shown = traceback.TracebackException.from_exception(
        error, limit=-TRACEBACK_FRAMES, capture_locals=False, max_group_width=5, max_group_depth=5
    )
    return scrub("".join(shown.format()).rstrip())  # before it is cut: half a token is one too


def shorten(text: str, limit: int = TEXT_LIMIT) -> str:
    """At most about `limit` characters: a quarter from the start, the rest from the end."""
    if len(text) <= limit:
        return text
    head, tail = limit // 4, limit - limit // 4
    return f"{text[:head]}\n... {len(text) - limit} characters left out ...\n{text[-tail:]}"


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The same event without secrets, of plain JSON values only; time, level, event in front."""
    front = {key: event[key] for key in ("time", "level", "event") if key in event}
    return {**front, **_mapping(event, 0)}


def _mapping(fields: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    return {
        scrub(str(key)): HIDDEN if _is_secret(key) else _plain(value, depth)
        for key, value in fields.items()
    }


def _is_secret(key: object) -> bool:
    return str(key).lower().replace("-", "_") in SECRET_KEYS


def _plain(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return scrub(value) if isinstance(value, str) else value
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if depth >= DEPTH_LIMIT:
        return "..."
    if isinstance(value, Mapping):
        return _mapping(value, depth + 1)
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(element, depth + 1) for element in value]
    return scrub(repr(value))


def scrub(text: str) -> str:
    """A text without tokens (`access_token=...`, `Bearer ...`, a JWT), and not too long."""
    return shorten(TOKENS.sub(_hide, text))


def _hide(match: re.Match[str]) -> str:
    return f"{match['kept'] or ''}{HIDDEN}"
