"""tocsin.server.description.asyncapi: its structure, and what it says of messages."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest
from tests.fakes.asyncapi import Spoken, dereferenced
from tests.fakes.daemon import configured

from tocsin.app.descriptions import served
from tocsin.server.description.asyncapi import asyncapi
from tocsin.server.description.clientmessages import described
from tocsin.wire.conncheck import CONN_ACK, conn_check
from tocsin.wire.messaging import answers, envelope
from tocsin.wire.messaging.clientmessages import Correspondent, InRoom, Text
from tocsin.wire.messaging.limits import STANDARD
from tocsin.wire.messaging.refusals import ErrorCode, MessageError
from tocsin.wire.messaging.views import (
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
from tocsin.wire.operatorevent import event_body
from tocsin.wire.position import channel_resumed

ID = "0194a2b0-0000-7000-8000-000000000001"
MEMBERSHIP = MembershipView("r-1", "Day shift", administrator=True, attributes=b'{"a":1}')
SUBSCRIBER = SubscriberView("alice", "busy", attributes=b'{"a":1}')
TEXT = Text("hi", attributes=b"{}", dedupe_id="k")
TO_ALICE = Sent(ID, "bob", Correspondent("alice"), 1_767_607_200_120, TEXT)
TO_ROOM = Sent(ID, "bob", InRoom("r-1"), 1_767_607_200_120, TEXT)
GOOD: list[dict[str, Any]] = [
    {"type": "announce", "status": "", "availability": "dnd", "attributes": {}},
    {"type": "announce", "id": "1"},
    {"type": "unannounce"},
    {"type": "create-channel", "name": "Day shift", "invite-token": "s3"},
    {"type": "list-channels", "unknown": 1},
    {"type": "join-channel", "channel-id": "r-1", "invite-token": None},
    {"type": "leave-channel", "channel-id": "r-1"},
    {"type": "update-channel", "channel-id": "r-1", "invite-token": None},
    {"type": "delete-channel", "channel-id": "r-1"},
    {"type": "invite", "channel-id": "r-1", "subscriber-ids": ["bob"]},
    {"type": "update-subscriber", "channel-id": "r", "subscriber-id": "b", "administrator": False},
    {"type": "update-subscriber", "channel-id": "r", "subscriber-id": "b", "removed": True},
    {"type": "list-subscribers"},
    {"type": "list-subscribers", "channel-id": "r-1", "subscriber-ids": None},
    {"type": "direct-message", "subscriber-id": "bob", "content": "", "dedupe-id": "k"},
    {"type": "channel-message", "channel-id": "r-1", "content": "x", "content-type": "a/b"},
    {"type": "delivery", "message-id": ID, "status": "read", "through": True},
    {"type": "composing", "channel-id": "r-1", "state": "idle"},
    {"type": "history", "subscriber-id": "bob", "limit": 5000},
    {"type": "resume", "cursor": ""},
]
BAD: list[dict[str, Any]] = [
    {"type": "announce", "availability": "offline"},
    {"type": "create-channel", "name": ""},
    {"type": "create-channel"},
    {"type": "update-channel", "channel-id": "r-1"},
    {"type": "update-subscriber", "channel-id": "r", "subscriber-id": "b"},
    {
        "type": "update-subscriber",
        "channel-id": "r",
        "subscriber-id": "b",
        "removed": True,
        "administrator": True,
    },
    {"type": "list-subscribers", "channel-id": "r-1", "subscriber-ids": []},
    {"type": "direct-message", "subscriber-id": "bob"},
    {"type": "delivery", "message-id": ID, "status": "stored"},
    {"type": "composing", "subscriber-id": "b", "channel-id": "r-1", "state": "idle"},
    {"type": "composing", "state": "idle"},
    {"type": "resume"},
    {"type": "resume", "cursor": "", "id": 1},
]


@pytest.fixture
def document(tmp_path: Path) -> dict[str, Any]:
    """With all there is."""
    hook = {"webhook_url": "https://operator.example/hook"}
    return asyncapi(served(configured(tmp_path, operator=hook)))


@pytest.fixture
def spoken(document: dict[str, Any]) -> Spoken:
    """What it says of messages."""
    return Spoken(document)


def test_everything_referred_to_is_there(document: dict[str, Any]) -> None:
    """Each $ref leads somewhere, messages of operations to those of their channel, and each
    message of a channel is sent or received (AsyncAPI 3.0)."""
    dereferenced(document)
    assert document["asyncapi"] == "3.0.0"
    said: dict[str, set[str]] = {name: set() for name in document["channels"]}
    for operation in document["operations"].values():
        assert operation["action"] in {"send", "receive"}
        [name] = [
            name
            for name in document["channels"]
            if operation["channel"] == {"$ref": f"#/channels/{name}"}
        ]
        replies = operation.get("reply", {}).get("messages", [])
        for message in [*operation["messages"], *replies]:
            start, _, last = message["$ref"].rpartition("/")
            assert start == f"#/channels/{name}/messages"
            said[name].add(last)
    assert said == {name: set(one["messages"]) for name, one in document["channels"].items()}


def test_addresses_have_their_parameters(document: dict[str, Any]) -> None:
    """Each placeholder of an address is described, and nothing else."""
    for channel in document["channels"].values():
        address = channel["address"] or ""
        wanted = {part[1:-1] for part in address.split("/") if part.startswith("{")}
        assert set(channel.get("parameters", {})) == wanted


def test_payloads_are_schemas(document: dict[str, Any]) -> None:
    """Payloads, headers and queries are JSON Schemas."""
    for schema in schemas(document):
        jsonschema.Draft202012Validator.check_schema(schema)


def schemas(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from document["components"]["schemas"].values()
    for message in document["components"]["messages"].values():
        yield message["payload"]
        yield message.get("headers", {})
    for channel in document["channels"].values():
        yield channel["bindings"].get("ws", {}).get("query", {})


def test_client_messages_are_those_that_are_read() -> None:
    """Every type of section 5 is described, and no other (messaging.md, 5)."""
    assert set(described(STANDARD)) == set(envelope.TYPES)


@pytest.mark.parametrize("message", GOOD, ids=lambda one: one["type"])
def test_what_is_described_is_taken(spoken: Spoken, message: dict[str, Any]) -> None:
    """A message that its schema allows is read, null and unknown fields included (MS-15)."""
    spoken.check(f"client.{message['type']}", message)
    read = envelope.parse(orjson.dumps(message))
    assert not isinstance(read, envelope.Refused | envelope.Ignored)


@pytest.mark.parametrize("message", BAD, ids=lambda one: one["type"])
def test_what_is_refused_is_not_described(spoken: Spoken, message: dict[str, Any]) -> None:
    """A message that is refused is not allowed by its schema either (MS-17, MS-23)."""
    with pytest.raises(jsonschema.ValidationError):
        spoken.check(f"client.{message['type']}", message)
    assert isinstance(envelope.parse(orjson.dumps(message)), envelope.Refused)


def test_server_messages_are_those_that_are_written(spoken: Spoken) -> None:
    """Every server message, with and without what is optional in it, is as its schema says, and no
    schema is without one (messaging.md, 6)."""
    told = [orjson.loads(one) for one in server_messages()]
    for message in told:
        spoken.check(f"server.{message['type']}", message)
    described = {name for name in spoken.names if name.startswith("server.")}
    assert {f"server.{message['type']}" for message in told} == described


def server_messages() -> Iterator[bytes]:
    """One of each and more."""
    error = MessageError(ErrorCode.RATE_LIMITED, "slow down", 3)
    yield answers.welcome("alice", cursor="e:1", retention=60)
    yield from (answers.ack(None), answers.ack("1"), answers.ack("1", error))
    for rendered in (
        answers.delivery(Progress(ID, MessageStatus.STORED)),
        answers.delivery(Progress(ID, MessageStatus.READ, "bob", "r-1", through=True)),
        answers.message(TO_ALICE),
        answers.message(TO_ROOM, own=True),
        answers.invitation(InvitationView("r-1", "x", "bob", administrator=False)),
        answers.membership(MembershipChange.JOINED, MEMBERSHIP),
    ):
        yield rendered.text(reply_to="1", cursor="e:2")
        yield rendered.text(cursor="e:2")
    yield answers.subscriber(SubscriberChange.AVAILABILITY, SUBSCRIBER).text()
    yield answers.subscriber(SubscriberChange.LEFT, SUBSCRIBER, "r-1").text()
    yield answers.composing("bob", ComposingState.ACTIVE, "r-1")
    yield from answers.channels([MEMBERSHIP], reply_to="1")
    yield from answers.subscribers([SUBSCRIBER], room_id="r-1", reply_to=None)
    own = answers.message(TO_ROOM, own=True, status=MessageStatus.READ).bare()
    yield answers.history(InRoom("r-1"), [own], more=False, reply_to="1")
    yield answers.resumed(cursor="e:2", count=1, complete=True, reply_to="1")


def test_frames_of_notification_sockets(spoken: Spoken) -> None:
    """What a notification socket says is as its schemas say (CH-52 to CH-54, CH-58)."""
    resumed = channel_resumed("e", 3, missed=2, recovered=True)
    for name, text in (
        ("connCheck", conn_check(0.5)),
        ("connCheck", conn_check(30)),
        ("connAck", CONN_ACK),
        ("channelResumed", resumed),
        ("notification", b'{"chatMessageNotification":{"id":"1","dateTime":1}}'),
    ):
        spoken.check(name, orjson.loads(text))
    for text in (CONN_ACK, resumed, b'{"a":{},"b":{}}'):
        with pytest.raises(jsonschema.ValidationError):
            spoken.check("notification", orjson.loads(text))


def test_operator_events(spoken: Spoken) -> None:
    """What an operator is told is as its schema says (PU-56)."""
    body = event_body("lane.blocked", 1_767_607_200_120, {"lane": "https://a"})
    spoken.check("operatorEvent", orjson.loads(body))
