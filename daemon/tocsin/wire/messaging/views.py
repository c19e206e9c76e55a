"""What server messages tell of subscribers, Rooms and messages (messaging.md, 6).

Attributes are the compact JSON text of an object; times are epoch milliseconds.
"""

from typing import Final

import attrs

from tocsin.wire.messaging.clientmessages import Party, Text
from tocsin.wire.messaging.words import Availability, MessageStatus

NO_ATTRIBUTES: Final = b"{}"


@attrs.frozen
class SubscriberView:
    """The model Channel Subscriber. Only the id given, it is how others see somebody who is
    invisible (MS-40). Outside a Room nobody is an administrator (MS-31)."""

    id: str
    status: str = ""
    availability: Availability = Availability.INVISIBLE
    administrator: bool = False
    attributes: bytes = attrs.field(default=NO_ATTRIBUTES, repr=False)


@attrs.frozen
class MembershipView:
    """The model Channel Membership."""

    room_id: str
    name: str
    administrator: bool
    attributes: bytes = attrs.field(default=NO_ATTRIBUTES, repr=False)


@attrs.frozen
class Sent:
    """A message as it was accepted: to a Room, or to one subscriber."""

    message_id: str
    sender: str
    to: Party
    sent_at: int
    text: Text


@attrs.frozen
class InvitationView:
    """To a Room, from its creator or an administrator. The token is for administrators alone."""

    room_id: str
    name: str
    sender: str
    administrator: bool
    attributes: bytes = attrs.field(default=NO_ATTRIBUTES, repr=False)
    invite_token: str | None = attrs.field(default=None, repr=False)


@attrs.frozen
class Progress:
    """What became of a message; `subscriber_id` is for whom, None in the reply to a send.

    `through`: and of every earlier one of that conversation (MS-57).
    """

    message_id: str
    status: MessageStatus
    subscriber_id: str | None = None
    room_id: str | None = None
    through: bool = False
