"""What clients ask, one class per type of section 5 (messaging.md).

    ClientMessage
     +-- presence    Announce, Unannounce, Composing
     +-- Rooms       CreateRoom, ListRooms, JoinRoom, LeaveRoom, UpdateRoom, DeleteRoom, Invite,
     |               UpdateMember, ListSubscribers
     +-- messages    SendDirect, SendToRoom, Receipt, AskHistory, Resume

All are checked as far as the message alone tells. `id` is what every answer carries as
`reply-to`. Attributes are the compact JSON text of an object. None is "not said" throughout.
"""

import enum
from typing import ClassVar, Final

import attrs

from tocsin.wire.messaging.words import Availability, ComposingState, MessageStatus

DEFAULT_CONTENT_TYPE: Final = "text/plain"
DEFAULT_PAGE: Final = 50


class Cleared(enum.Enum):
    """A value that is taken away, where None is one that stays as it is."""

    CLEARED = enum.auto()


CLEARED: Final = Cleared.CLEARED


@attrs.frozen
class Correspondent:
    """The conversation with one other subscriber."""

    subscriber_id: str


@attrs.frozen
class InRoom:
    """The conversation of a Room."""

    room_id: str


Party = Correspondent | InRoom


@attrs.frozen
class Text:
    """What is sent to somebody; the server never looks inside (MS-24)."""

    content: str = attrs.field(repr=False)
    content_type: str = DEFAULT_CONTENT_TYPE
    attributes: bytes | None = attrs.field(default=None, repr=False)
    dedupe_id: str | None = None


@attrs.frozen(kw_only=True)
class Asked:
    """What all of them have; `type` is the wire's word, fit for metrics."""

    type: ClassVar[str]
    id: str | None = None


@attrs.frozen(kw_only=True)
class Announce(Asked):
    """Be seen; what is None stays as it was announced before (MS-37)."""

    type: ClassVar = "announce"
    status: str | None = None
    availability: Availability | None = None
    attributes: bytes | None = attrs.field(default=None, repr=False)


@attrs.frozen(kw_only=True)
class Unannounce(Asked):
    """Be invisible at once (MS-39)."""

    type: ClassVar = "unannounce"


@attrs.frozen(kw_only=True)
class CreateRoom(Asked):
    """Make a Room; who knows the token may join it."""

    type: ClassVar = "create-channel"
    name: str
    invite_token: str | None = attrs.field(default=None, repr=False)
    attributes: bytes | None = attrs.field(default=None, repr=False)


@attrs.frozen(kw_only=True)
class ListRooms(Asked):
    """One's own memberships."""

    type: ClassVar = "list-channels"


@attrs.frozen(kw_only=True)
class JoinRoom(Asked):
    """Become a member by an open invitation or the right token (MS-32)."""

    type: ClassVar = "join-channel"
    room_id: str
    invite_token: str | None = attrs.field(default=None, repr=False)


@attrs.frozen(kw_only=True)
class LeaveRoom(Asked):
    """Be a member no longer (MS-34)."""

    type: ClassVar = "leave-channel"
    room_id: str


@attrs.frozen(kw_only=True)
class UpdateRoom(Asked):
    """Change at least one of these."""

    type: ClassVar = "update-channel"
    room_id: str
    name: str | None = None
    invite_token: str | Cleared | None = attrs.field(default=None, repr=False)
    attributes: bytes | None = attrs.field(default=None, repr=False)


@attrs.frozen(kw_only=True)
class DeleteRoom(Asked):
    """End a Room (MS-35)."""

    type: ClassVar = "delete-channel"
    room_id: str


@attrs.frozen(kw_only=True)
class Invite(Asked):
    """Open invitations; each subscriber is named once, in the order given (MS-33)."""

    type: ClassVar = "invite"
    room_id: str
    subscriber_ids: tuple[str, ...]


@attrs.frozen(kw_only=True)
class UpdateMember(Asked):
    """Make or unmake an administrator; with None remove, or withdraw an invitation."""

    type: ClassVar = "update-subscriber"
    room_id: str
    subscriber_id: str
    administrator: bool | None


@attrs.frozen(kw_only=True)
class ListSubscribers(Asked):
    """Those of a Room, or those named, each once; with neither oneself (MS-42)."""

    type: ClassVar = "list-subscribers"
    room_id: str | None = None
    subscriber_ids: tuple[str, ...] | None = None


@attrs.frozen(kw_only=True)
class SendDirect(Asked):
    """A message to one subscriber; that it is not oneself is not checked yet (MS-26)."""

    type: ClassVar = "direct-message"
    subscriber_id: str
    text: Text


@attrs.frozen(kw_only=True)
class SendToRoom(Asked):
    """A message to all members."""

    type: ClassVar = "channel-message"
    room_id: str
    text: Text


@attrs.frozen(kw_only=True)
class Receipt(Asked):
    """What became of a message to oneself; `through`: of every earlier one, too (MS-57)."""

    type: ClassVar = "delivery"
    message_id: str
    status: MessageStatus
    through: bool = False


@attrs.frozen(kw_only=True)
class Composing(Asked):
    """Whether one is writing (MS-44)."""

    type: ClassVar = "composing"
    party: Party
    state: ComposingState


@attrs.frozen(kw_only=True)
class AskHistory(Asked):
    """A page of a conversation: what was sent before, or else after a message (MS-28)."""

    type: ClassVar = "history"
    party: Party
    before: str | None = None
    after: str | None = None
    limit: int = DEFAULT_PAGE


@attrs.frozen(kw_only=True)
class Resume(Asked):
    """Have replayed what follows a cursor, which may be anything (MS-61 to MS-63)."""

    type: ClassVar = "resume"
    cursor: str


ClientMessage = (
    Announce
    | Unannounce
    | CreateRoom
    | ListRooms
    | JoinRoom
    | LeaveRoom
    | UpdateRoom
    | DeleteRoom
    | Invite
    | UpdateMember
    | ListSubscribers
    | SendDirect
    | SendToRoom
    | Receipt
    | Composing
    | AskHistory
    | Resume
)
