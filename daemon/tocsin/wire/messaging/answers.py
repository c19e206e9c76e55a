"""Server messages as JSON text (messaging.md, section 6).

What goes to several receivers, or comes again in a replay, is `Rendered` and completed for each;
what answers one request is finished. In a message's own text there is neither a cursor nor a
request's id.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import orjson

from tocsin.wire.messaging.clientmessages import InRoom, Party
from tocsin.wire.messaging.parts import parts
from tocsin.wire.messaging.refusals import MessageError
from tocsin.wire.messaging.rendered import Rendered, rendered
from tocsin.wire.messaging.views import (
    NO_ATTRIBUTES,
    InvitationView,
    MembershipView,
    Progress,
    Sent,
    SubscriberView,
)
from tocsin.wire.messaging.words import (
    ComposingState,
    MembershipChange,
    MessageStatus,
    SubscriberChange,
)

ACK: Final = b'{"type":"ack","status":true}'
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def welcome(subscriber_id: str, *, cursor: str, retention: int) -> bytes:
    """The first message of a connection; `retention` is seconds, `cursor` the end of the Log."""
    members = {"subscriber-id": subscriber_id, "retention": retention}
    return rendered("welcome", members).text(cursor=cursor)


def ack(id_: str | None, error: MessageError | None = None) -> bytes:
    """What ends the answer to each message: done, or why not (MS-17, MS-18)."""
    if id_ is None and error is None:
        return ACK
    members = {
        "id": id_,
        "status": error is None,
        "error": None if error is None else error.as_dict(),
    }
    return rendered("ack", members).text(reply_to=id_)


def delivery(progress: Progress) -> Rendered:
    """Reply to a send, or what has become of a message since (MS-53)."""
    members = {
        "message-id": progress.message_id,
        "status": progress.status.word,
        "subscriber-id": progress.subscriber_id,
        "channel-id": progress.room_id,
        "through": True if progress.through else None,
    }
    return rendered("delivery", members)


def message(sent: Sent, *, own: bool = False, status: MessageStatus | None = None) -> Rendered:
    """A message as others have it, or as its sender's `own` devices do: with its `dedupe-id`.

    `status` is for the sender's own messages in a history.
    """
    text = sent.text
    members = {
        "message-id": sent.message_id,
        "from": sent.sender,
        **_party(sent.to),
        "sent-at": timestamp(sent.sent_at),
        "content": text.content,
        "content-type": text.content_type,
        "attributes": None if text.attributes is None else orjson.Fragment(text.attributes),
        "dedupe-id": text.dedupe_id if own else None,
        "status": None if status is None else status.word,
    }
    kind = "channel-message" if isinstance(sent.to, InRoom) else "direct-message"
    return rendered(kind, members)


def invitation(view: InvitationView) -> Rendered:
    """Reply to who has created a Room, and to each who is invited."""
    members = {
        "channel-id": view.room_id,
        "name": view.name,
        "from": view.sender,
        "administrator": view.administrator,
        "attributes": orjson.Fragment(view.attributes),
        "invite-token": view.invite_token,
    }
    return rendered("invitation", members)


def membership(change: MembershipChange, view: MembershipView) -> Rendered:
    """What has happened to the receiver's own membership."""
    members = {"change": change.value, "channel": _membership(view)}
    return rendered("membership", members)


def subscriber(
    change: SubscriberChange, view: SubscriberView, room_id: str | None = None
) -> Rendered:
    """What has happened to somebody else; `room_id` None: in no Room in particular (MS-41)."""
    members = {"change": change.value, "channel-id": room_id, "subscriber": _subscriber(view)}
    return rendered("subscriber", members)


def composing(sender: str, state: ComposingState, room_id: str | None = None) -> bytes:
    """Somebody is writing, or no longer (MS-44)."""
    members = {"from": sender, "channel-id": room_id, "state": state.value}
    return rendered("composing", members).text()


def channels(views: Iterable[MembershipView], *, reply_to: str | None) -> Iterator[bytes]:
    """One's memberships, in as many messages as it takes (MS-30)."""
    for part, more in parts(map(membership_entry, views)):
        members = {"channels": array(part), "more": more}
        yield rendered("channels", members).text(reply_to=reply_to)


def subscribers(
    views: Iterable[SubscriberView], *, room_id: str | None = None, reply_to: str | None
) -> Iterator[bytes]:
    """Subscribers, in as many messages as it takes (MS-30)."""
    for part, more in parts(map(subscriber_entry, views)):
        members = {"channel-id": room_id, "subscribers": array(part), "more": more}
        yield rendered("subscribers", members).text(reply_to=reply_to)


def history(party: Party, entries: Sequence[bytes], *, more: bool, reply_to: str | None) -> bytes:
    """A page of a conversation, oldest first: `message(...).bare()` that are `fitting` (MS-28)."""
    members = {**_party(party), "messages": array(entries), "more": more}
    return rendered("history", members).text(reply_to=reply_to)


def resumed(*, cursor: str, count: int, complete: bool, reply_to: str | None) -> bytes:
    """The end of a replay (MS-63, MS-64)."""
    members = {"count": count, "complete": complete}
    return rendered("resumed", members).text(reply_to=reply_to, cursor=cursor)


def timestamp(at: int) -> str:
    """Epoch milliseconds as RFC 3339 in UTC, milliseconds always there (MS-15)."""
    instant = (EPOCH + timedelta(milliseconds=at)).isoformat(timespec="milliseconds")
    return instant.replace("+00:00", "Z")


def array(entries: Iterable[bytes]) -> orjson.Fragment:
    """Encoded entries as a list."""
    return orjson.Fragment(b"[%b]" % b",".join(entries))


def membership_entry(view: MembershipView) -> bytes:
    """A Channel Membership as an entry of a list."""
    return orjson.dumps(_membership(view))


def subscriber_entry(view: SubscriberView) -> bytes:
    """A Channel Subscriber as an entry of a list."""
    return orjson.dumps(_subscriber(view))


def _membership(view: MembershipView) -> dict[str, object]:
    members: dict[str, object] = {
        "channel-id": view.room_id,
        "name": view.name,
        "administrator": view.administrator,
    }
    if view.attributes != NO_ATTRIBUTES:
        members["attributes"] = orjson.Fragment(view.attributes)
    return members


def _subscriber(view: SubscriberView) -> dict[str, object]:
    return {
        "id": view.id,
        "status": view.status,
        "availability": view.availability.value,
        "administrator": view.administrator,
        "attributes": orjson.Fragment(view.attributes),
    }


def _party(party: Party) -> dict[str, str]:
    if isinstance(party, InRoom):
        return {"channel-id": party.room_id}
    return {"subscriber-id": party.subscriber_id}
