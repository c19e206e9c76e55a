"""The server's half of the opening handshake, RFC 6455 section 4.2, without I/O.

`answer` judges a request; what it returns is either the value of `Sec-WebSocket-Accept` or a
`Refusal`, which knows its HTTP status and headers. Faces that answer differently (SockJS wants
400 where there is no upgrade at all) match on the refusal and not on its status.

Extensions and subprotocols are never accepted: leaving them out of the answer declines them.
"""

import base64
import binascii
import enum
import hashlib
from collections.abc import Mapping

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
VERSION = "13"


class Refusal(enum.Enum):
    """Why a request cannot become a WebSocket."""

    NOT_AN_UPGRADE = "not_an_upgrade"
    BAD_VERSION = "bad_version"
    BAD_KEY = "bad_key"

    @property
    def status(self) -> int:
        """The HTTP status that says so (RFC 6455 section 4.4, CH-50)."""
        return 400 if self is Refusal.BAD_KEY else 426

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """What goes with the status; RFC 9110 section 15.5.22 wants `Upgrade` with a 426."""
        if self is Refusal.BAD_KEY:
            return ()
        return (
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Version", VERSION),
        )


def answer(method: str, headers: Mapping[str, str], *, http_version: str = "1.1") -> str | Refusal:
    """The value of `Sec-WebSocket-Accept` for this request, or why there is none.

    `headers` maps lower-case names to values; a name that came twice has its values joined by
    a comma, which makes two keys or two versions the error they are.
    """
    if method != "GET" or http_version != "1.1" or not _asks_for_websocket(headers):
        return Refusal.NOT_AN_UPGRADE
    if headers.get("sec-websocket-version", "").strip() != VERSION:
        return Refusal.BAD_VERSION
    key = headers.get("sec-websocket-key", "").strip()
    if not _is_key(key):
        return Refusal.BAD_KEY
    return accept_value(key)


def accept_value(key: str) -> str:
    """`Sec-WebSocket-Accept` for a well-formed key (RFC 6455 section 4.2.2, item 5.4)."""
    digest = hashlib.sha1(key.encode("ascii") + GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode("ascii")


def _asks_for_websocket(headers: Mapping[str, str]) -> bool:
    return "upgrade" in _tokens(headers.get("connection", "")) and "websocket" in _tokens(
        headers.get("upgrade", "")
    )


def _tokens(value: str) -> set[str]:
    return {token.strip().lower() for token in value.split(",")}


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        return False
