"""A notification: one event for one user, immutable (delivery.md, nouns)."""

import enum

import attrs

GATEWAY_SERVICE = "push"
"""The service of what came through the push gateway: somebody waits for what becomes of it."""


class Priority(enum.IntEnum):
    """Lower goes first; urgent overtakes everything not yet on the wire."""

    URGENT = 0
    NORMAL = 1
    LOW = 2


@attrs.frozen(eq=False)
class Notification:
    """One event, as it goes over every wire.

    `body` is the exact JSON text (CH-100). Times are epoch milliseconds. `is_named`: its producer
    chose the id, so that the same id again is the same notification (CH-115).
    """

    id: str
    user: str
    service: str
    root_key: str
    body: bytes = attrs.field(repr=False)
    priority: Priority
    accepted_at: int
    expires_at: int
    order_key: str
    collapse_key: str | None = None
    destination: str | None = None
    producer: str = ""
    is_named: bool = False

    @property
    def is_gateway_push(self) -> bool:
        """It came through the push gateway, whose callers chose the device token (PU-23)."""
        return self.service == GATEWAY_SERVICE
