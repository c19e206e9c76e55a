"""What is said on notification sockets and messaging connections, and POSTed to webhooks.

channels.md sections 6 and 9, messaging.md sections 4 to 6, sockjs.md section 3, push.md PU-56.
"""

from collections.abc import Mapping
from typing import Final

from tocsin.ops.metrics import EVENTS
from tocsin.server.description.schema import (
    COUNT,
    FLAG,
    INSTANT,
    OBJECT,
    STRING,
    Schema,
    listed,
    matching,
    one_of,
    record,
    ref,
    said,
    text,
)
from tocsin.wire.conncheck import LONGEST_INTERVAL
from tocsin.wire.webhook import SECRET_PREFIX

EMPTY: Final[Schema] = {"type": "object", "maxProperties": 0}
INTERVAL: Final[Schema] = {
    "type": "number",
    "exclusiveMinimum": 0,
    "maximum": LONGEST_INTERVAL,
    "description": "Seconds between checks.",
}
CHECK: Final = record({"connCheck": record({"interval": INTERVAL})})
ACK: Final = record({"connAck": EMPTY})
RESUMED: Final = record(
    {
        "channelResumed": record(
            {
                "epoch": text(),
                "seq": said(COUNT, "The next notification is one more."),
                "recovered": said(FLAG, "Nothing was lost since the position that was claimed."),
                "missed": said(COUNT, "How many are replayed."),
            }
        )
    }
)
NOTIFICATION: Final[Mapping[str, tuple[str, Schema]]] = {
    "notification": ("A notification; has `id` one level down", ref("Notification")),
    "channelResumed": ("Where the client is; first, and only if it said `since`", RESUMED),
    "connCheck": ("A check of the connection, answered by a connAck", CHECK),
    "connAck": ("The answer to a connCheck", ACK),
}
FROM_SOCKET: Final = ("connCheck", "connAck")
TO_SOCKET: Final = tuple(NOTIFICATION)
FRAME: Final = matching(
    r"o|h|a\[.*\]|c\[[0-9]+,\".*\"\]",
    description="`o` opens, `h` is a heartbeat, `a[...]` are messages as JSON texts, `c[code,"
    "reason]` closes.",
)
FRAMES: Final[Mapping[str, tuple[str, Schema]]] = {
    "frame": ("A SockJS frame", FRAME),
    "texts": (
        "Messages of the client, a JSON text each",
        {"anyOf": [listed(STRING), STRING]},
    ),
}
HOOK_HEADERS: Final = record(
    {
        "webhook-id": said(text(), "The same in every attempt."),
        "webhook-timestamp": matching("[0-9]+", description="Epoch seconds, of this attempt."),
        "webhook-signature?": matching(
            "v1,[A-Za-z0-9+/]+={0,2}( v1,[A-Za-z0-9+/]+={0,2})*",
            description="HMAC-SHA256 over `id.timestamp.body` by the key behind "
            f"`{SECRET_PREFIX}`; two while a secret is being rotated.",
        ),
        "Authorization?": said(text(), "The channel's x-authorization."),
    },
    additionalProperties=True,
)
EVENT: Final = record(
    {
        "type": one_of(EVENTS),
        "timestamp": INSTANT,
        "data": OBJECT,
    }
)
