"""The notification socket."""

import attrs

from tocsin.model.option import option


@attrs.frozen
class WsSettings:
    """`[ws]`"""

    max_connections: int = option(50_000, "Sockets open at once; more are answered 503.", minimum=1)
    max_connections_per_user: int = option(
        20, "Sockets of one user open at once; more are answered 503.", minimum=1
    )
    ping_interval: float = option(
        30, "Seconds between Pings on a quiet socket.", minimum=0.1, maximum=3600
    )
    check_interval: float = option(
        30,
        "Seconds between connChecks to a client that asked for them (role server).",
        minimum=0.1,
        maximum=3600,
    )
    window: int = option(
        100, "Frames written to a socket and not yet receipted, at most.", minimum=1, maximum=10_000
    )
    client_frame_bytes: int = option(4096, "Bytes of one message from a client.", minimum=125)
    client_frames_per_second: int = option(50, "Frames from a client in one second.", minimum=1)
    outbox_bytes: int = option(
        1_048_576,
        "Bytes waiting for one slow reader; the rest waits in the store.",
        minimum=65_536,
    )
