"""What a client's message is answered with, between who does it and the connection."""

from collections.abc import Iterable
from typing import Final, Protocol

import attrs

from tocsin.messaging.link import Link
from tocsin.store.mail import Posted
from tocsin.wire.messaging.clientmessages import ClientMessage
from tocsin.wire.messaging.refusals import ErrorCode, MessageError
from tocsin.wire.messaging.rendered import Rendered

RETRY: Final = 5
STORE_FAILED: Final = MessageError(
    ErrorCode.UNAVAILABLE, "the store does not answer; try again later", RETRY
)


@attrs.frozen
class Own:
    """A reply that stands for the sender's own entry and carries its cursor (MS-47)."""

    rendered: Rendered
    entry: Posted


@attrs.frozen
class Answer:
    """What goes before the `ack`, and what that says.

    Texts are finished, `reply-to` included. They may be made one by one: the next is asked for
    when there is room for it (MS-30). With an `error` there are none (MS-20).
    """

    replies: Iterable[bytes | Own] = ()
    error: MessageError | None = None


class Desk(Protocol):
    """Who does what clients ask."""

    async def handle(self, link: Link, message: ClientMessage) -> Answer:
        """Do it, durably (MS-21), or say why not: then it had no effect. It is not given a
        `Resume`. What it raises is a bug, and answered `unavailable`. Not cancelled before a
        stop."""
