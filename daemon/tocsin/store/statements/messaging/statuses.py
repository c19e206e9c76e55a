"""What became of messages for those they went to (messaging.md, MS-53).

A status rises in the row of its addressee and is told to the sender in the same transaction, so it
is told once.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import attrs

from tocsin.store.mail import Posted
from tocsin.store.records import Ended
from tocsin.store.statements.messaging.logs import post_texts
from tocsin.store.statements.sql import Database, as_json
from tocsin.wire.messaging import answers
from tocsin.wire.messaging.rendered import Rendered
from tocsin.wire.messaging.views import Progress
from tocsin.wire.messaging.words import MessageStatus

ROOM_OF_M = "(SELECT id FROM room WHERE room.key = -m.first)"
RISEN = f"m.key, a.recipient, m.sender, m.id, {ROOM_OF_M}, s.id"
"""The columns of `Risen`, of what is `JOINED` to an addressee `a`."""
JOINED = (
    "CROSS JOIN message AS m ON m.key = a.message CROSS JOIN subscriber AS s ON s.key = a.recipient"
)

ALONE = 0
"""The `peer` of a recipient whose reading is his own devices' affair, nobody else's (MS-58)."""


class Risen(NamedTuple):
    """A message whose status rises for one recipient."""

    message: int
    recipient: int
    sender: int
    message_id: str
    room_id: str | None
    recipient_id: str

    def progress(self, status: MessageStatus, *, through: bool = False) -> Rendered:
        """What its sender is told."""
        told = Progress(self.message_id, status, self.recipient_id, self.room_id, through)
        return answers.delivery(told)


@attrs.frozen(eq=False)
class Raised:
    """What came of receipts: entries added to Logs, how many old ones went for them, and the legs
    that need not be sent any more. Not `is_known`: there is no such message to him."""

    posted: Sequence[Posted] = ()
    trimmed: int = 0
    cancelled: Ended | None = None
    is_known: bool = True


NOTHING_RAISED = Raised()
UNKNOWN = Raised(is_known=False)


def raise_statuses(db: Database, risen: Iterable[Risen], status: MessageStatus) -> None:
    """Write the status of these, which is higher than what they have."""
    db.execute(
        "UPDATE addressee SET status = ? FROM json_each(?)"
        " WHERE addressee.message = value ->> 0 AND addressee.recipient = value ->> 1",
        (int(status), as_json((one.message, one.recipient) for one in risen)),
    )


def receive(db: Database, found: Collection[Risen], *, now: int, most: int) -> Raised:
    """These have been received, some of them twice perhaps: tell their senders."""
    if not found:
        return NOTHING_RAISED
    risen = sorted({(one.message, one.recipient): one for one in found}.values())
    raise_statuses(db, risen, MessageStatus.RECEIVED)
    texts = [(one.sender, one.progress(MessageStatus.RECEIVED)) for one in risen]
    return Raised(*post_texts(db, texts, at=now, most=most))
