"""Options of the SockJS services: `[messaging.sockjs]` (sockjs.md, section 10)."""

from typing import Final

import attrs

from tocsin.model.option import option
from tocsin.wire.sockjs.urls import TRANSPORTS

# What runs script in pages is off (SJ-36).
SCRIPTLESS: Final = ["websocket", "xhr-streaming", "xhr-polling", "eventsource"]


def _check_script(url: str) -> str | None:
    if url and not url.startswith(("/", "http")):
        return "must be a path or an http address"
    return None


def _check_base(url: str) -> str | None:
    if url and not url.startswith(("http://", "https://")):
        return "must be an http or https address"
    return None


@attrs.frozen
class SockJsSettings:
    """`[messaging.sockjs]`"""

    transports: list[str] = option(SCRIPTLESS, "What clients may use.", choices=TRANSPORTS)
    heartbeat_delay: float = option(25, "Seconds of silence before a heartbeat.", minimum=0.1)
    disconnect_delay: float = option(
        5, "Seconds a session stays without a request that receives.", minimum=0.1
    )
    response_limit: int = option(
        131_072, "Bytes of frames after which a streaming response ends.", minimum=1
    )
    jsessionid: bool = option(
        default=False, help="Set a JSESSIONID cookie, for load balancers that go by it."
    )
    sockjs_url: str = option(
        "", "The client's script for the iframe page; a path or an address.", check=_check_script
    )
    base_url: str = option(
        "", "Where clients are sent for everything after /info.", check=_check_base
    )
    prove_within: float = option(
        5, "Seconds for a client to prove that it has a message; 0 is off.", minimum=0
    )
    max_sessions: int = option(100_000, "Sessions and WebSockets together.", minimum=1)
    outbox_bytes: int = option(
        1_048_576, "Bytes waiting for one client before it is sent away.", minimum=1
    )
    outbox_messages: int = option(
        1000, "Messages waiting for one client before it is sent away.", minimum=1
    )
    inbox_bytes: int = option(
        1_048_576, "Bytes of one client waiting to be handled before it has to wait.", minimum=1
    )
    inbox_messages: int = option(
        256, "Messages of one client waiting to be handled before it has to wait.", minimum=1
    )


def check(settings: SockJsSettings) -> list[str]:
    """What is wrong with these settings as a whole, one line each (SJ-36)."""
    if "iframe" in settings.transports and not settings.sockjs_url:
        return ["messaging.sockjs.transports: iframe needs messaging.sockjs.sockjs_url"]
    return []
