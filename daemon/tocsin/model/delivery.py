"""A delivery: one notification on its way to one channel. Retry state lives here only."""

import attrs

from tocsin.model.channel import Channel
from tocsin.model.notification import Notification


@attrs.define(eq=False)
class Delivery:
    """One leg of a notification.

    `id` grows in the order of acceptance. `seq` is its place on the client's socket, given at
    the first write and kept in every replay (CH-56). `unanswered` counts attempts in a row
    that were written and never answered (CH-83).
    """

    id: int
    notification: Notification
    channel: Channel
    attempts: int = 0
    unanswered: int = 0
    seq: int | None = None
