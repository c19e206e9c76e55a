"""What the messaging face tells its clients, message by message (messaging.md, section 6).

Held by tests against `wire/messaging/answers`, which writes it.
"""

from collections.abc import Mapping
from typing import Final

from tocsin.server.description.schema import (
    COUNT,
    FLAG,
    INSTANT,
    INTEGER,
    OBJECT,
    STRING,
    Schema,
    either,
    listed,
    one_of,
    record,
    ref,
    said,
    text,
)
from tocsin.wire.messaging.parts import MOST_ENTRIES
from tocsin.wire.messaging.refusals import ErrorCode
from tocsin.wire.messaging.words import (
    Availability,
    ComposingState,
    MembershipChange,
    MessageStatus,
    SubscriberChange,
)

ROOM: Final = said(text(), "A conversation of many.")
SUBSCRIBER: Final = said(text(), "A subscriber's id.")
CURSOR: Final = said(text(), "A place in one's Log; opaque.")
MESSAGE_ID: Final = said({**text(), "format": "uuid"}, "An ordinal: later is greater.")
STATUS: Final = one_of([one.word for one in MessageStatus])
MESSAGING_CODES: Final = [one.value for one in ErrorCode if one is not ErrorCode.UNAUTHORIZED]
SENT: Final[Mapping[str, Schema]] = {
    "message-id": MESSAGE_ID,
    "from": SUBSCRIBER,
    "sent-at": INSTANT,
    "content": said(STRING, "Never looked at."),
    "content-type": text(),
    "attributes?": OBJECT,
    "dedupe-id?": said(text(), "One's own messages only."),
}
TO_SUBSCRIBER: Final[Mapping[str, Schema]] = {"subscriber-id": SUBSCRIBER}
TO_ROOM: Final[Mapping[str, Schema]] = {"channel-id": ROOM}
ENTRIES: Final[Mapping[str, Mapping[str, Schema]]] = {
    "direct-message": {**SENT, **TO_SUBSCRIBER},
    "channel-message": {**SENT, **TO_ROOM},
    "delivery": {
        "message-id": MESSAGE_ID,
        "status": STATUS,
        "subscriber-id?": SUBSCRIBER,
        "channel-id?": ROOM,
        "through?": one_of([True], description="And of every earlier one."),
    },
    "invitation": {
        "channel-id": ROOM,
        "name": text(),
        "from": SUBSCRIBER,
        "administrator": FLAG,
        "attributes": OBJECT,
        "invite-token?": said(text(), "Administrators only."),
    },
    "membership": {
        "change": one_of([one.value for one in MembershipChange]),
        "channel": ref("ChannelMembership"),
    },
}
"""What a Log holds; each carries a cursor there."""
OTHERS: Final[Mapping[str, Mapping[str, Schema]]] = {
    "welcome": {
        "subscriber-id": SUBSCRIBER,
        "cursor": said(CURSOR, "The end of the Log."),
        "retention": said(INTEGER, "Seconds that entries are kept."),
    },
    "ack": {"id?": text(), "status": FLAG, "error?": ref("AckError")},
    "channels": {
        "channels": listed(ref("ChannelMembership"), MOST_ENTRIES),
        "more": FLAG,
    },
    "subscribers": {
        "channel-id?": ROOM,
        "subscribers": listed(ref("ChannelSubscriber"), MOST_ENTRIES),
        "more": FLAG,
    },
    "subscriber": {
        "change": one_of([one.value for one in SubscriberChange]),
        "channel-id?": ROOM,
        "subscriber": ref("ChannelSubscriber"),
    },
    "composing": {
        "from": SUBSCRIBER,
        "channel-id?": ROOM,
        "state": one_of([one.value for one in ComposingState]),
    },
    "history": {
        "subscriber-id?": SUBSCRIBER,
        "channel-id?": ROOM,
        "messages": listed(ref("HistoryMessage")),
        "more": FLAG,
    },
    "resumed": {
        "cursor": said(CURSOR, "The end that was reached."),
        "count": COUNT,
        "complete": said(FLAG, "Nothing is missing."),
    },
}
ABOUT: Final[Mapping[str, str]] = {
    "welcome": "The first message of a connection",
    "ack": "Ends the answer to each message of a client",
    "direct-message": "A message from one subscriber",
    "channel-message": "A message to a conversation of many",
    "delivery": "What became of a message",
    "invitation": "To a conversation, or the answer to who has made one",
    "membership": "What happened to one's own membership",
    "channels": "One's memberships, or a part of them",
    "subscribers": "Subscribers, or a part of them",
    "subscriber": "What happened to somebody else",
    "composing": "Somebody is writing",
    "history": "A page of a conversation, oldest first",
    "resumed": "The end of a replay",
}


def _logged(type_: str) -> Schema:
    return record({"type": one_of([type_]), "cursor": CURSOR, **ENTRIES[type_]})


SCHEMAS: Final[dict[str, Schema]] = {
    "ChannelSubscriber": record(
        {
            "id": SUBSCRIBER,
            "status": STRING,
            "availability": one_of([one.value for one in Availability]),
            "administrator": FLAG,
            "attributes": OBJECT,
        }
    ),
    "ChannelMembership": record(
        {"channel-id": ROOM, "name": text(), "administrator": FLAG, "attributes?": OBJECT}
    ),
    "AckError": record(
        {"code": one_of(MESSAGING_CODES), "text": text(), "retry-after?": said(COUNT, "Seconds.")}
    ),
    "HistoryMessage": record(
        {
            **SENT,
            "subscriber-id?": SUBSCRIBER,
            "channel-id?": ROOM,
            "status?": said(STATUS, "One's own messages only."),
        }
    ),
    "LogEntry": either(*map(_logged, ENTRIES)),
}


def message(type_: str) -> Schema:
    """One message as a connection gets it: `reply-to` where it answers one that had an id."""
    members = ENTRIES.get(type_)
    given = OTHERS[type_] if members is None else {"cursor?": CURSOR, **members}
    return record({"type": one_of([type_]), "reply-to?": text(), **given})
