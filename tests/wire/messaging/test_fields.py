"""Fields of client messages: missing, ill-typed, too long, contradictory (sections 5 and 12)."""

import json
from typing import Any

import pytest

from tocsin.wire.messaging.clientmessages import AskHistory, InRoom
from tocsin.wire.messaging.envelope import Ignored, Refused, parse
from tocsin.wire.messaging.limits import MessageLimits
from tocsin.wire.messaging.refusals import ErrorCode

BAD = ErrorCode.BAD_REQUEST
LARGE = ErrorCode.TOO_LARGE
ROOM = {"channel-id": "r-1"}
PEER = {"subscriber-id": "b"}
LONG = "x" * 129
SENT = {"content": "hi"}

# An id, a name, a dedupe-id, a token, a content type; one of a subscriber.
NOT_SHORT = [1, True, [], {}, "", LONG, "a\nb", "\x7f", "\x85"]
NOT_SUBSCRIBER = [*NOT_SHORT, "a\u200bb", "\u2028"]
NOT_OBJECT = [1, "x", [], False]


def without(message: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in message.items() if name not in names}


def refusal(message: object) -> tuple[str | None, ErrorCode] | None:
    """The id and code a message is refused with; None where it is not refused."""
    outcome = parse(json.dumps(message))
    return (outcome.id, outcome.error.code) if isinstance(outcome, Refused) else None


REQUIRED: list[tuple[dict[str, Any], list[str]]] = [
    ({"type": "create-channel", "name": "n"}, ["name"]),
    ({"type": "join-channel", **ROOM}, ["channel-id"]),
    ({"type": "leave-channel", **ROOM}, ["channel-id"]),
    ({"type": "update-channel", **ROOM, "name": "n"}, ["channel-id", "name"]),
    ({"type": "delete-channel", **ROOM}, ["channel-id"]),
    ({"type": "invite", **ROOM, "subscriber-ids": ["b"]}, ["channel-id", "subscriber-ids"]),
    (
        {"type": "update-subscriber", **ROOM, **PEER, "administrator": True},
        ["channel-id", "subscriber-id", "administrator"],
    ),
    (
        {"type": "update-subscriber", **ROOM, **PEER, "removed": True},
        ["channel-id", "subscriber-id", "removed"],
    ),
    ({"type": "direct-message", **PEER, **SENT}, ["subscriber-id", "content"]),
    ({"type": "channel-message", **ROOM, **SENT}, ["channel-id", "content"]),
    ({"type": "delivery", "message-id": "m", "status": "read"}, ["message-id", "status"]),
    ({"type": "composing", **PEER, "state": "idle"}, ["subscriber-id", "state"]),
    ({"type": "composing", **ROOM, "state": "idle"}, ["channel-id", "state"]),
    ({"type": "history", **PEER}, ["subscriber-id"]),
    ({"type": "history", **ROOM}, ["channel-id"]),
    ({"type": "resume", "cursor": "e:1"}, ["cursor"]),
]


@pytest.mark.parametrize(
    ("message", "name"), [(message, name) for message, names in REQUIRED for name in names]
)
def test_required(message: dict[str, Any], name: str) -> None:
    """Without a field it needs, or with null for it, a message is refused by its id (MS-17);
    with all of them it is not."""
    message = {**message, "id": "5"}
    assert refusal(message) is None
    assert refusal(without(message, name)) == ("5", BAD)
    assert refusal({**message, name: None}) == ("5", BAD)


BAD_VALUES: list[tuple[dict[str, Any], str, list[Any]]] = [
    ({"type": "announce"}, "status", [1, [], {}, "x" * 257, "a\tb", "\x00"]),
    ({"type": "announce"}, "availability", ["offline", "", "DND", 1, ["dnd"], {}]),
    ({"type": "announce"}, "attributes", NOT_OBJECT),
    ({"type": "create-channel", "name": "n"}, "name", NOT_SHORT),
    ({"type": "create-channel", "name": "n"}, "invite-token", NOT_SHORT),
    ({"type": "create-channel", "name": "n"}, "attributes", NOT_OBJECT),
    ({"type": "join-channel", **ROOM}, "channel-id", NOT_SHORT),
    ({"type": "join-channel", **ROOM}, "invite-token", NOT_SHORT),
    ({"type": "leave-channel", **ROOM}, "channel-id", NOT_SHORT),
    ({"type": "update-channel", **ROOM, "name": "n"}, "channel-id", NOT_SHORT),
    ({"type": "update-channel", **ROOM, "name": "n"}, "name", NOT_SHORT),
    ({"type": "update-channel", **ROOM, "name": "n"}, "invite-token", NOT_SHORT),
    ({"type": "update-channel", **ROOM, "name": "n"}, "attributes", NOT_OBJECT),
    ({"type": "delete-channel", **ROOM}, "channel-id", NOT_SHORT),
    ({"type": "invite", "subscriber-ids": ["b"], **ROOM}, "channel-id", NOT_SHORT),
    (
        {"type": "invite", "subscriber-ids": ["b"], **ROOM},
        "subscriber-ids",
        ["b", {}, 1, True, *(["b", value] for value in [*NOT_SUBSCRIBER, None])],
    ),
    (
        {"type": "update-subscriber", **ROOM, **PEER, "removed": True},
        "subscriber-id",
        NOT_SUBSCRIBER,
    ),
    (
        {"type": "update-subscriber", **ROOM, **PEER, "removed": True},
        "removed",
        [False, 1, "true", []],
    ),
    (
        {"type": "update-subscriber", **ROOM, **PEER, "administrator": True},
        "administrator",
        [1, 0, "true", [], {}],
    ),
    ({"type": "list-subscribers"}, "channel-id", NOT_SHORT),
    ({"type": "list-subscribers"}, "subscriber-ids", ["b", [1], [""], [None], 3]),
    ({"type": "direct-message", **PEER, **SENT}, "subscriber-id", NOT_SUBSCRIBER),
    ({"type": "direct-message", **PEER, **SENT}, "content", [1, [], {}, True]),
    ({"type": "direct-message", **PEER, **SENT}, "content-type", NOT_SHORT),
    ({"type": "direct-message", **PEER, **SENT}, "attributes", NOT_OBJECT),
    ({"type": "direct-message", **PEER, **SENT}, "dedupe-id", NOT_SHORT),
    ({"type": "channel-message", **ROOM, **SENT}, "channel-id", NOT_SHORT),
    ({"type": "channel-message", **ROOM, **SENT}, "content", [1, [], {}, False]),
    ({"type": "delivery", "message-id": "m", "status": "read"}, "message-id", NOT_SHORT),
    (
        {"type": "delivery", "message-id": "m", "status": "read"},
        "status",
        ["stored", "sent", "", 3, ["read"]],
    ),
    ({"type": "delivery", "message-id": "m", "status": "read"}, "through", [1, "true", []]),
    ({"type": "composing", **PEER, "state": "idle"}, "state", ["", "typing", 1, []]),
    ({"type": "composing", **PEER, "state": "idle"}, "subscriber-id", NOT_SUBSCRIBER),
    ({"type": "composing", **ROOM, "state": "idle"}, "channel-id", NOT_SHORT),
    ({"type": "history", **PEER}, "subscriber-id", NOT_SUBSCRIBER),
    ({"type": "history", **PEER}, "before", NOT_SHORT),
    ({"type": "history", **PEER}, "after", NOT_SHORT),
    ({"type": "history", **PEER}, "limit", [True, "5", 2.5, [], {}]),
    ({"type": "resume", "cursor": ""}, "cursor", [1, 0, [], {}, False]),
]


@pytest.mark.parametrize(
    ("message", "name", "value"),
    [(message, name, value) for message, name, values in BAD_VALUES for value in values],
)
def test_bad_values(message: dict[str, Any], name: str, value: object) -> None:
    """A value of the wrong type or form is refused by the message's id, in words that name the
    field (MS-17, MS-22, section 12)."""
    outcome = parse(json.dumps({**message, name: value, "id": "5"}))
    assert isinstance(outcome, Refused)
    assert (outcome.id, outcome.error.code, outcome.type) == ("5", BAD, message["type"])
    assert outcome.error.text.startswith(name)


@pytest.mark.parametrize(
    "message",
    [
        {"type": "direct-message", **PEER, "content": "x" * 65_537},
        {"type": "direct-message", **PEER, "content": "é" * 32_769},
        {"type": "channel-message", **ROOM, "content": "\U0001f600" * 16_385},
        {"type": "announce", "attributes": {"a": "é" * 2045}},
        {"type": "create-channel", "name": "n", "attributes": {"a": "x" * 4089}},
        {"type": "update-channel", **ROOM, "attributes": {"a": [0] * 3000}},
        {"type": "direct-message", **PEER, **SENT, "attributes": {"x" * 4096: 1}},
        {"type": "invite", **ROOM, "subscriber-ids": ["b"] * 101},
        {"type": "list-subscribers", "subscriber-ids": [str(n) for n in range(101)]},
    ],
)
def test_too_large(message: dict[str, Any]) -> None:
    """Contents, attributes and lists beyond section 12 are `too-large`, not `bad-request`."""
    assert refusal(message) == (None, LARGE)


@pytest.mark.parametrize(
    "message",
    [
        {"type": "direct-message", **PEER, "content": "é" * 32_768},
        {"type": "announce", "attributes": {"a": "é" * 2044}, "status": "é" * 256},
        {"type": "invite", **ROOM, "subscriber-ids": ["b"] * 100},
        {"type": "leave-channel", "channel-id": "é" * 128, "id": "\U0001f600" * 128},
    ],
)
def test_just_small_enough(message: dict[str, Any]) -> None:
    """At the limits of section 12 nothing is refused; spaces around members do not count."""
    outcome = parse(json.dumps(message, indent=8))
    assert not isinstance(outcome, Refused | Ignored)


@pytest.mark.parametrize(
    "message",
    [
        {"type": "update-channel", **ROOM},
        {"type": "update-channel", **ROOM, "name": None, "attributes": None},
        {"type": "update-subscriber", **ROOM, **PEER, "administrator": True, "removed": True},
        {"type": "list-subscribers", **ROOM, "subscriber-ids": ["b"]},
        {"type": "composing", **ROOM, **PEER, "state": "idle"},
        {"type": "composing", "state": "idle"},
        {"type": "history", **ROOM, **PEER},
        {"type": "history"},
        {"type": "history", **ROOM, "before": "a", "after": "b"},
    ],
)
def test_one_of(message: dict[str, Any]) -> None:
    """Where the table says "or", exactly one is given, of the bounds at most one (MS-23)."""
    assert refusal({**message, "id": "1"}) == ("1", BAD)


@pytest.mark.parametrize(
    ("limit", "clamped"),
    [("0", 1), ("-5", 1), ("1", 1), ("100", 100), ("101", 100), ("9" * 40, 100), ("3.0", 3)],
)
def test_limit_is_clamped(limit: str, clamped: int) -> None:
    """A limit out of range is brought into it, never refused (section 12)."""
    asked = parse(f'{{"type":"history","channel-id":"r","limit":{limit}}}')
    assert isinstance(asked, AskHistory)
    assert asked.limit == clamped


@pytest.mark.parametrize(
    ("limits", "message", "code"),
    [
        (MessageLimits(content_bytes=1), {"type": "channel-message", **ROOM, **SENT}, LARGE),
        (MessageLimits(attributes_bytes=2), {"type": "announce", "attributes": {"a": 1}}, LARGE),
        (MessageLimits(list_ids=1), {"type": "invite", **ROOM, "subscriber-ids": [1, 2]}, LARGE),
        (MessageLimits(status_characters=1), {"type": "announce", "status": "ab"}, BAD),
        (MessageLimits(short_characters=64), {"type": "create-channel", "name": "n" * 65}, BAD),
    ],
)
def test_limits_are_the_operators(
    limits: MessageLimits, message: dict[str, Any], code: ErrorCode
) -> None:
    """Each limit of section 12 is as it is configured (section 14)."""
    outcome = parse(json.dumps(message), limits)
    assert isinstance(outcome, Refused)
    assert outcome.error.code == code


def test_page_is_the_operators() -> None:
    """So is the largest page, which holds for who asks for none, too."""
    for limit in ({}, {"limit": 60}):
        asked = parse(json.dumps({"type": "history", **ROOM, **limit}), MessageLimits(page=40))
        assert asked == AskHistory(party=InRoom("r-1"), limit=40)
