"""Messages as notifications of the service chat (MS-49, MS-52)."""

from uuid import UUID, uuid5

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.model.notification import Priority
from tocsin.wire.messaging.chatnotification import (
    TEXT_BYTES,
    Heading,
    cut,
    direct,
    invitation,
    to_room,
)
from tocsin.wire.messaging.clientmessages import Text

AT = 1_767_607_200_120
ID = "01940000-0000-7000-8000-0000000000a1"
HEADING = Heading("12125550100@acme", "12125550199@acme", AT)
WEEK = 7 * 86_400_000


def test_direct_message() -> None:
    """The example of MS-52, to the member; expiry, priority and thread of CH-101 (MS-49)."""
    made = direct(Text("hi"), HEADING, message_id=ID)
    href = f"/cpaas/chat/v1/12125550199@acme/oneToOne/12125550100@acme/adhoc/messages/{ID}"
    assert orjson.loads(made.body) == {
        "chatMessageNotification": {
            "id": ID,
            "dateTime": AT,
            "chatMessage": {
                "text": "hi",
                "x-type": "inbound",
                "x-content-type": "text/plain",
                "dateTime": AT,
                "senderAddress": "12125550100@acme",
                "x-destinationAddress": "12125550199@acme",
            },
            "link": [{"rel": "chatMessage", "href": href}],
        }
    }
    assert (made.id, made.user, made.service) == (ID, "12125550199@acme", "chat")
    assert made.root_key == "chatMessageNotification"
    assert (made.priority, made.accepted_at) == (Priority.NORMAL, AT)
    assert made.expires_at == AT + WEEK
    assert made.order_key == "oneToOne/12125550100@acme"


def test_room_message() -> None:
    """Each member has an id of his own, derived from the message's; the link names the message
    itself (MS-52)."""
    made = to_room(Text("hi", "text/x"), HEADING, message_id=ID, room_id="r-7c1f")
    body = orjson.loads(made.body)["chatMessageNotification"]
    expected = str(uuid5(UUID(ID), "12125550199@acme"))
    assert (made.id, body["id"]) == (expected, expected)
    assert body["link"] == [
        {
            "rel": "chatMessage",
            "href": f"/cpaas/chat/v1/12125550199@acme/group/r-7c1f/messages/{ID}",
        }
    ]
    assert body["chatMessage"]["x-content-type"] == "text/x"
    assert made.order_key == "group/r-7c1f"


def test_invitation() -> None:
    """An invitation has the Room's name and link, and an id derived from a fresh one (MS-52)."""
    made = invitation("Day shift", HEADING, invitation_id=ID, room_id="r-7c1f")
    expected = str(uuid5(UUID(ID), "12125550199@acme"))
    assert orjson.loads(made.body) == {
        "groupChatSessionInvitationNotification": {
            "id": expected,
            "dateTime": AT,
            "x-name": "Day shift",
            "link": [
                {
                    "rel": "groupChatSessionInformation",
                    "href": "/cpaas/chat/v1/12125550199@acme/group/r-7c1f",
                }
            ],
        }
    }
    assert (made.id, made.root_key) == (expected, "groupChatSessionInvitationNotification")
    assert (made.order_key, made.expires_at) == ("group/r-7c1f", AT + WEEK)


def test_links_are_paths() -> None:
    """Ids are escaped in links, so that none adds a segment; the prefix is the operator's
    (CH-3)."""
    heading = Heading("a/group/x@acme", "+1613 b?@acme", AT, prefix="/api")
    made = direct(Text("hi"), heading, message_id=ID)
    link = orjson.loads(made.body)["chatMessageNotification"]["link"][0]["href"]
    assert link == f"/api/chat/v1/+1613%20b%3F@acme/oneToOne/a%2Fgroup%2Fx@acme/adhoc/messages/{ID}"
    assert made.order_key == "oneToOne/a%2Fgroup%2Fx@acme"


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        ("x" * TEXT_BYTES, TEXT_BYTES),
        ("x" * (TEXT_BYTES + 1), TEXT_BYTES),
        ("x" * (TEXT_BYTES - 1) + "é", TEXT_BYTES - 1),
        ("\U0001f600" * 20_000, TEXT_BYTES // 4),
        ("", 0),
    ],
)
def test_cutting(content: str, kept: int) -> None:
    """Text over 4 KiB is cut between characters and marked; what fits is not (MS-52)."""
    body = orjson.loads(direct(Text(content), HEADING, message_id=ID).body)
    message = body["chatMessageNotification"]["chatMessage"]
    assert message["text"] == content[:kept]
    assert message.get("x-truncated", False) is (kept < len(content))


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(0, 5000))
def test_cut_is_the_longest_beginning(text: str, padding: int) -> None:
    """What is kept is a beginning of the text, fits, and another character would not (MS-52)."""
    whole = "x" * padding + text
    kept = cut(whole)
    assert whole.startswith(kept)
    assert len(kept.encode()) <= TEXT_BYTES
    assert kept == whole or len(whole[: len(kept) + 1].encode()) > TEXT_BYTES
