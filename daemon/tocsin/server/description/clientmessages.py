"""What clients say on messaging connections (messaging.md, section 5).

Held by tests against `wire/messaging/envelope`, which reads it. Unknown fields are ignored, null
is as good as absent, and `id` comes back as `reply-to` of all that answers.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from tocsin.server.description.schema import (
    FLAG,
    INTEGER,
    OBJECT,
    STRING,
    Schema,
    listed,
    one_of,
    request,
    said,
    text,
)
from tocsin.wire.messaging.clientmessages import DEFAULT_CONTENT_TYPE, DEFAULT_PAGE
from tocsin.wire.messaging.limits import SHORT_CHARACTERS, MessageLimits
from tocsin.wire.messaging.words import RECEIPTS, Availability, ComposingState

SUBSCRIBER: Final = text(1, SHORT_CHARACTERS)


@attrs.frozen
class Said:
    """One type: its fields, and what answers it before the `ack`.

    `ways`: sets of fields of which one is there; none of them where `may_lack`. `any_of`: at
    least one.
    """

    about: str
    fields: Mapping[str, Schema]
    answered: Sequence[str] = ()
    ways: Sequence[str] = ()
    may_lack: bool = False
    any_of: Sequence[str] = ()

    def schema(self, type_: str, short: Schema) -> Schema:
        """The message."""
        members = {"type": one_of([type_]), "id?": short, **self.fields}
        rules: list[Schema] = []
        if self.ways:
            lacking = [_none_of(self.ways)] if self.may_lack else []
            rules.append({"oneOf": [*map(_there, self.ways), *lacking]})
        if self.any_of:
            rules.append({"anyOf": [{"required": [name]} for name in self.any_of]})
        message = request(members)
        return {**message, "allOf": rules} if rules else message


def described(limits: MessageLimits) -> dict[str, Said]:
    """Every type."""
    short = text(1, limits.short_characters)
    attributes = said(OBJECT, f"At most {limits.attributes_bytes} bytes of compact JSON.")
    ids = listed(SUBSCRIBER, limits.list_ids)
    room: dict[str, Schema] = {"channel-id": short}
    party: dict[str, Schema] = {"subscriber-id?": SUBSCRIBER, "channel-id?": short}
    sent: dict[str, Schema] = {
        "content": said(STRING, f"At most {limits.content_bytes} bytes; never looked at."),
        "content-type?": said(short, f"{DEFAULT_CONTENT_TYPE}, if not given."),
        "attributes?": attributes,
        "dedupe-id?": said(short, "The same again is sent once."),
    }
    either_party = ("subscriber-id", "channel-id")
    return {
        "announce": Said(
            "Be seen; what is left out stays as it was announced",
            {
                "status?": text(0, limits.status_characters),
                "availability?": one_of([one.value for one in Availability]),
                "attributes?": attributes,
            },
        ),
        "unannounce": Said("Be invisible at once", {}),
        "create-channel": Said(
            "Begin a conversation of many",
            {"name": short, "invite-token?": short, "attributes?": attributes},
            ["invitation"],
        ),
        "list-channels": Said("One's memberships", {}, ["channels"]),
        "join-channel": Said(
            "Become a member, by an invitation or the token",
            {**room, "invite-token?": short},
            ["membership"],
        ),
        "leave-channel": Said("Be a member no longer", room, ["membership"]),
        "update-channel": Said(
            "Change a conversation; for administrators",
            {
                **room,
                "name?": short,
                "invite-token?": said(short, "null clears it."),
                "attributes?": attributes,
            },
            any_of=("name", "invite-token", "attributes"),
        ),
        "delete-channel": Said("End a conversation; for administrators", room),
        "invite": Said("Open invitations; for administrators", {**room, "subscriber-ids": ids}),
        "update-subscriber": Said(
            "Make or unmake an administrator, or remove a member; for administrators",
            {
                **room,
                "subscriber-id": SUBSCRIBER,
                "administrator?": FLAG,
                "removed?": one_of([True]),
            },
            ways=("administrator", "removed"),
        ),
        "list-subscribers": Said(
            "Members of a conversation, or those named, or oneself",
            {"channel-id?": short, "subscriber-ids?": ids},
            ["subscribers"],
            ways=("channel-id", "subscriber-ids"),
            may_lack=True,
        ),
        "direct-message": Said(
            "Write to a subscriber", {"subscriber-id": SUBSCRIBER, **sent}, ["delivery"]
        ),
        "channel-message": Said("Write to a conversation", {**room, **sent}, ["delivery"]),
        "delivery": Said(
            "What became of a message to oneself",
            {
                "message-id": short,
                "status": one_of(RECEIPTS),
                "through?": said(FLAG, "And of every earlier one."),
            },
        ),
        "composing": Said(
            "Whether one is writing",
            {**party, "state": one_of([one.value for one in ComposingState])},
            ways=either_party,
        ),
        "history": Said(
            "A page of a conversation; bounds are exclusive",
            {
                **party,
                "before?": said(short, "Not with `after`."),
                "after?": said(short, "Not with `before`."),
                "limit?": said(INTEGER, f"{DEFAULT_PAGE}, if not given; clamped to {limits.page}."),
            },
            ["history"],
            ways=either_party,
        ),
        "resume": Said(
            "Have replayed what follows a cursor; the first message on a connection",
            {"cursor": said(STRING, "The greatest that was processed; empty for all there is.")},
            [
                "direct-message",
                "channel-message",
                "delivery",
                "invitation",
                "membership",
                "resumed",
            ],
        ),
    }


def _there(name: str) -> Schema:
    """The field says something."""
    return {"required": [name], "properties": {name: {"not": {"type": "null"}}}}


def _none_of(names: Sequence[str]) -> Schema:
    return {"not": {"anyOf": [_there(name) for name in names]}}
