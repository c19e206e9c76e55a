"""A client message: ignored, refused, or read (messaging.md, 4 and 5).

    text -> Reason                         ignored without an answer (MS-16)
         -> Refused                        one `ack` with `status:false`, nothing else (MS-17, 20)
         -> one of `ClientMessage`         to be done, then acknowledged

The size of a message is the transport's affair (section 12).
"""

from collections.abc import Callable, Mapping
from typing import Final

import attrs

from tocsin.wire.messaging.clientmessages import (
    CLEARED,
    DEFAULT_CONTENT_TYPE,
    DEFAULT_PAGE,
    Announce,
    AskHistory,
    ClientMessage,
    Composing,
    CreateRoom,
    DeleteRoom,
    Invite,
    JoinRoom,
    LeaveRoom,
    ListRooms,
    ListSubscribers,
    Receipt,
    Resume,
    SendDirect,
    SendToRoom,
    Text,
    Unannounce,
    UpdateMember,
    UpdateRoom,
)
from tocsin.wire.messaging.document import REPLACEMENT, Reason, read
from tocsin.wire.messaging.fields import FieldError, Fields, bad
from tocsin.wire.messaging.limits import STANDARD, MessageLimits
from tocsin.wire.messaging.refusals import MessageError
from tocsin.wire.messaging.words import RECEIPTS, Availability, ComposingState

_AVAILABILITIES: Final = {one.value: one for one in Availability}
_STATES: Final = {one.value: one for one in ComposingState}


@attrs.frozen
class Ignored:
    """Nothing is answered; count it."""

    reason: Reason


@attrs.frozen
class Refused:
    """`id` is None, too, where the client's cannot be repeated (MS-18)."""

    id: str | None
    error: MessageError
    type: str


def parse(text: str | bytes, limits: MessageLimits = STANDARD) -> ClientMessage | Refused | Ignored:
    """What one message of a client is; whatever it is, nothing is raised."""
    document = read(text)
    if isinstance(document, Reason):
        return Ignored(document)
    type_ = document.members.get("type")
    if not isinstance(type_, str):
        return Ignored(Reason.NO_TYPE)
    reader = _READERS.get(type_)
    if reader is None:
        return Ignored(Reason.UNKNOWN_TYPE)
    given = Fields(document.members, limits)
    id_ = None
    try:
        id_ = given.optional(given.short, "id")
        if document.flaw is not None:
            # It may have been the id that was mended.
            id_ = None if id_ is None or REPLACEMENT in id_ else id_
            raise bad(document.flaw.value)
        return reader(id_, given)
    except FieldError as error:
        return Refused(id_, error.error, type_)


def _announce(id_: str | None, given: Fields) -> Announce:
    return Announce(
        id=id_,
        status=given.optional(given.status_text, "status"),
        availability=(
            given.word("availability", _AVAILABILITIES) if given.has("availability") else None
        ),
        attributes=given.optional(given.attributes, "attributes"),
    )


def _unannounce(id_: str | None, _given: Fields) -> Unannounce:
    return Unannounce(id=id_)


def _create_room(id_: str | None, given: Fields) -> CreateRoom:
    return CreateRoom(
        id=id_,
        name=given.short("name"),
        invite_token=given.optional(given.short, "invite-token"),
        attributes=given.optional(given.attributes, "attributes"),
    )


def _list_rooms(id_: str | None, _given: Fields) -> ListRooms:
    return ListRooms(id=id_)


def _join_room(id_: str | None, given: Fields) -> JoinRoom:
    return JoinRoom(
        id=id_,
        room_id=given.short("channel-id"),
        invite_token=given.optional(given.short, "invite-token"),
    )


def _leave_room(id_: str | None, given: Fields) -> LeaveRoom:
    return LeaveRoom(id=id_, room_id=given.short("channel-id"))


def _update_room(id_: str | None, given: Fields) -> UpdateRoom:
    update = UpdateRoom(
        id=id_,
        room_id=given.short("channel-id"),
        name=given.optional(given.short, "name"),
        invite_token=(
            CLEARED
            if given.is_null("invite-token")
            else given.optional(given.short, "invite-token")
        ),
        attributes=given.optional(given.attributes, "attributes"),
    )
    if update.name is None and update.invite_token is None and update.attributes is None:
        raise bad("at least one of name, invite-token, attributes")
    return update


def _delete_room(id_: str | None, given: Fields) -> DeleteRoom:
    return DeleteRoom(id=id_, room_id=given.short("channel-id"))


def _invite(id_: str | None, given: Fields) -> Invite:
    return Invite(
        id=id_,
        room_id=given.short("channel-id"),
        subscriber_ids=given.subscribers("subscriber-ids"),
    )


def _update_member(id_: str | None, given: Fields) -> UpdateMember:
    room_id = given.short("channel-id")
    subscriber_id = given.subscriber("subscriber-id")
    administrator = None
    if given.exactly_one("administrator", "removed") == "administrator":
        administrator = given.flag("administrator")
    elif not given.flag("removed"):
        raise bad("removed: true")
    return UpdateMember(
        id=id_, room_id=room_id, subscriber_id=subscriber_id, administrator=administrator
    )


def _list_subscribers(id_: str | None, given: Fields) -> ListSubscribers:
    given.at_most_one("channel-id", "subscriber-ids")
    return ListSubscribers(
        id=id_,
        room_id=given.optional(given.short, "channel-id"),
        subscriber_ids=given.optional(given.subscribers, "subscriber-ids"),
    )


def _send_direct(id_: str | None, given: Fields) -> SendDirect:
    return SendDirect(id=id_, subscriber_id=given.subscriber("subscriber-id"), text=_text(given))


def _send_to_room(id_: str | None, given: Fields) -> SendToRoom:
    return SendToRoom(id=id_, room_id=given.short("channel-id"), text=_text(given))


def _text(given: Fields) -> Text:
    return Text(
        content=given.content("content"),
        content_type=given.optional(given.short, "content-type") or DEFAULT_CONTENT_TYPE,
        attributes=given.optional(given.attributes, "attributes"),
        dedupe_id=given.optional(given.short, "dedupe-id"),
    )


def _read_receipt(id_: str | None, given: Fields) -> Receipt:
    return Receipt(
        id=id_,
        message_id=given.short("message-id"),
        status=given.word("status", RECEIPTS),
        through=given.optional(given.flag, "through") or False,
    )


def _composing(id_: str | None, given: Fields) -> Composing:
    return Composing(id=id_, party=given.party(), state=given.word("state", _STATES))


def _ask_history(id_: str | None, given: Fields) -> AskHistory:
    party = given.party()
    given.at_most_one("before", "after")
    return AskHistory(
        id=id_,
        party=party,
        before=given.optional(given.short, "before"),
        after=given.optional(given.short, "after"),
        limit=given.page("limit", DEFAULT_PAGE),
    )


def _resume(id_: str | None, given: Fields) -> Resume:
    return Resume(id=id_, cursor=given.string("cursor"))


_READERS: Final[Mapping[str, Callable[[str | None, Fields], ClientMessage]]] = {
    Announce.type: _announce,
    Unannounce.type: _unannounce,
    CreateRoom.type: _create_room,
    ListRooms.type: _list_rooms,
    JoinRoom.type: _join_room,
    LeaveRoom.type: _leave_room,
    UpdateRoom.type: _update_room,
    DeleteRoom.type: _delete_room,
    Invite.type: _invite,
    UpdateMember.type: _update_member,
    ListSubscribers.type: _list_subscribers,
    SendDirect.type: _send_direct,
    SendToRoom.type: _send_to_room,
    Receipt.type: _read_receipt,
    Composing.type: _composing,
    AskHistory.type: _ask_history,
    Resume.type: _resume,
}
TYPES: Final = tuple(_READERS)
"""Every type there is; whatever else a client says is no label of a metric (MS-71)."""
