"""What messaging puts into a store and takes out of it; see `messages` for the rules."""

from collections.abc import Sequence

import attrs

from tocsin.model.conversation import Conversation, Invitation, Member, Room, Subscriber
from tocsin.wire.messaging.rendered import Rendered
from tocsin.wire.messaging.words import MessageStatus


@attrs.frozen(eq=False)
class Letter:
    """A message, stored once for everybody. `rendered` is what others get; its sender's own
    devices get it with the `dedupe_id`. `addressees` are those of whose receipts its sender is
    told; none where there would be too many (MS-58)."""

    id: str
    conversation: Conversation
    sender: Subscriber
    at: int
    rendered: Rendered
    dedupe_id: str | None = None
    addressees: Sequence[Subscriber] = ()


@attrs.define(eq=False)
class Posted:
    """An entry of somebody's Log, on its way into it or from it.

    `subscriber_key` is whose Log it is. `is_letter`: its text is that of the `Letter` it comes
    with (for its sender `rendered` has the `dedupe_id`). `notification` is the position in the
    `Acceptance` of what tells him by other ways, if there is any. `origin` is the connection whose
    act this is, told apart by identity. `seq` is given when it is stored.
    """

    subscriber_key: int
    rendered: Rendered
    is_letter: bool = False
    notification: int | None = None
    origin: object | None = None
    seq: int = 0


@attrs.frozen
class PutRoom:
    """A Room is new, or its name, token or attributes have changed."""

    room: Room


@attrs.frozen
class DropRoom:
    """A Room is over, with its members and invitations. What was said in it stays until it is
    old, for Logs."""

    room: Room


@attrs.frozen
class PutMember:
    """A member is new, or its rights have changed."""

    room: Room
    member: Member


@attrs.frozen
class DropMember:
    """A member has left."""

    room: Room
    subscriber_key: int


@attrs.frozen
class PutInvitation:
    """An invitation was opened."""

    room: Room
    subscriber_key: int
    invitation: Invitation


@attrs.frozen
class DropInvitation:
    """An invitation has been taken up or withdrawn."""

    room: Room
    subscriber_key: int


RoomChange = PutRoom | DropRoom | PutMember | DropMember | PutInvitation | DropInvitation


@attrs.define(eq=False)
class Mail:
    """What one act of a subscriber writes: all of it or nothing, `at` one time.

    `subscribers` are those it needs to be there: stored where they are not, and marked as known
    where they are known now. `strangers` are (sender, recipient) keys of messages to somebody
    nobody knew (MS-26). `changes` are made in their order.

    What comes of it: `repeat` is the id of the message that had this sender's `dedupe_id` first;
    nothing is stored then. `lapsed` are the oldest invitations, (room, subscriber) keys, of
    those who had too many (`most_invitations`).
    """

    at: int
    letter: Letter | None = None
    entries: list[Posted] = attrs.field(factory=list)
    subscribers: list[Subscriber] = attrs.field(factory=list)
    strangers: list[tuple[int, int]] = attrs.field(factory=list)
    changes: list[RoomChange] = attrs.field(factory=list)
    most_invitations: int = 100
    repeat: str | None = None
    lapsed: Sequence[tuple[int, int]] = ()


@attrs.frozen
class LogState:
    """How far a Log goes: entries after `trimmed` up to `last` are kept, those up to `proven` have
    reached a client (MS-61)."""

    trimmed: int
    last: int
    proven: int


@attrs.frozen(eq=False)
class LogPage:
    """Some of a Log, oldest first, and how far it goes."""

    entries: list[Posted]
    state: LogState


@attrs.frozen
class Proof:
    """A client of a subscriber has all of his Log up to `upto`; it was known of that client up to
    `after`. Legs to `correlator`, its device of the core's user `user`, need not be sent any more;
    to none where that is None, to all of the user's with `is_everywhere` (MS-51, MS-55)."""

    subscriber_key: int
    user: str
    after: int
    upto: int
    correlator: str | None = None
    is_everywhere: bool = False


@attrs.frozen
class Mark:
    """A recipient says what became of a message; `through`: of all before it, too (MS-57).

    `reader_id` is what he is called on the wire, `origin` the connection that says so."""

    reader: Subscriber
    message_id: str
    status: MessageStatus
    through: bool
    at: int
    origin: object | None = None


@attrs.frozen
class HistoryQuery:
    """Which messages of a conversation: of those after `after` and before `before`, exclusive, the
    oldest `limit` if only `after` is given, else the newest. `since`: none up to that message-id
    (MS-28). None sent before `oldest`."""

    conversation: Conversation
    reader: Subscriber
    after: str | None
    before: str | None
    limit: int
    since: str = ""
    oldest: int = 0


@attrs.frozen(eq=False)
class HistoryPage:
    """Messages, oldest first, the reader's own with their status; `more`: beyond the limit."""

    messages: list[Rendered]
    more: bool


@attrs.frozen
class FoundMessage:
    """A message as the operator may see it: by whom, where, and what became of it for each of
    those it went to, by their ids (statuses of a large Room stay at `stored`)."""

    message_id: str
    sender_id: str
    room_id: str | None
    at: int
    statuses: Sequence[tuple[str, MessageStatus]]
