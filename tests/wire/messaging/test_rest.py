"""The REST resources: queries, bodies, answers (section 11)."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.wire.messaging import answers, rest
from tocsin.wire.messaging.clientmessages import Correspondent, InRoom, Text
from tocsin.wire.messaging.refusals import RestError
from tocsin.wire.messaging.rest import (
    ConnectionView,
    HistoryQuery,
    JtiRevocation,
    LogQuery,
    LogView,
    RecipientView,
    Revocation,
    SubscriberRevocation,
    TokenRevocation,
)
from tocsin.wire.messaging.views import MembershipView, Progress, Sent, SubscriberView
from tocsin.wire.messaging.words import MessageStatus

AT = 1_767_607_200_120
SENT = answers.message(Sent("m", "a", Correspondent("b"), AT, Text("hi")))
READ = answers.delivery(Progress("m", MessageStatus.READ, "b"))
SUBSCRIBER = {
    "id": "b",
    "status": "",
    "availability": "invisible",
    "administrator": False,
    "attributes": {},
}


def refused(read: Callable[[], object]) -> tuple[int, str]:
    """Status and code of the refusal."""
    with pytest.raises(RestError) as caught:
        read()
    return caught.value.status, orjson.loads(caught.value.body())["error"]["code"]


@pytest.mark.parametrize(
    ("params", "query", "proves"),
    [
        ({}, LogQuery("", 100), False),
        ({"after": "", "limit": "0"}, LogQuery("", 1), False),
        ({"after": "", "limit": "-5"}, LogQuery("", 1), False),
        ({"after": "k3:1", "limit": "7"}, LogQuery("k3:1", 7), True),
        ({"after": "no cursor", "limit": "9" * 50, "x": "y"}, LogQuery("no cursor", 100), True),
    ],
)
def test_log_query(params: dict[str, str], query: LogQuery, proves: bool) -> None:
    """Without `after` the oldest; limits are clamped; a cursor may be anything (MS-54, MS-63)."""
    assert rest.log_query(params) == query
    assert query.proves is proves


@pytest.mark.parametrize(
    ("params", "query"),
    [
        ({"subscriber-id": "+1613 b"}, HistoryQuery(Correspondent("+1613 b"), None, None, 50)),
        ({"channel-id": "r", "before": "m"}, HistoryQuery(InRoom("r"), "m", None, 50)),
        (
            {"channel-id": "r", "after": "m", "limit": "500"},
            HistoryQuery(InRoom("r"), None, "m", 100),
        ),
    ],
)
def test_history_query(params: dict[str, str], query: HistoryQuery) -> None:
    """One conversation, at most one bound (MS-23, MS-28)."""
    assert rest.history_query(params) == query


@pytest.mark.parametrize(
    "read",
    [
        lambda: rest.log_query({"limit": "x"}),
        lambda: rest.log_query({"limit": ""}),
        lambda: rest.log_query({"limit": "-"}),
        lambda: rest.log_query({"limit": "--1"}),
        lambda: rest.history_query({}),
        lambda: rest.history_query({"subscriber-id": "b", "channel-id": "r"}),
        lambda: rest.history_query({"channel-id": "r", "before": "a", "after": "b"}),
        lambda: rest.history_query({"channel-id": ""}),
        lambda: rest.history_query({"subscriber-id": "x" * 129}),
        lambda: rest.history_query({"channel-id": "r", "before": "\x00"}),
        lambda: rest.members_after({"after": ""}),
        lambda: rest.domain_of({}, None),
        lambda: rest.domain_of({"domain": ""}, None),
        lambda: rest.revocation(None),
        lambda: rest.revocation([]),
        lambda: rest.revocation({}),
        lambda: rest.revocation({"token": "t", "jti": "j"}),
        lambda: rest.revocation({"token": 1}),
        lambda: rest.revocation({"token": ""}),
        lambda: rest.revocation({"token": "a b\n"}),
        lambda: rest.revocation({"token": "x" * 8193}),
        lambda: rest.revocation({"jti": "x" * 129}),
        lambda: rest.revocation({"subscriber-id": ["b"]}),
    ],
)
def test_bad_requests(read: Callable[[], object]) -> None:
    """What is missing, ill-typed or contradictory is 400 `bad-request` (section 11)."""
    assert refused(read) == (400, "bad-request")


def test_members_after() -> None:
    """Where the next page of members begins, or the first."""
    assert rest.members_after({"after": "b"}) == "b"
    assert rest.members_after({}) is None


def test_domains() -> None:
    """A token acts in its own domain and in no other; one without names it (MS-66)."""
    assert rest.domain_of({}, "acme") == "acme"
    assert rest.domain_of({"domain": "acme"}, "acme") == "acme"
    assert rest.domain_of({"domain": "other"}, None) == "other"
    assert refused(lambda: rest.domain_of({"domain": "other"}, "acme")) == (403, "forbidden")
    with pytest.raises(RestError) as caught:
        rest.domain_of({}, None)
    assert caught.value.error.text == "?domain=...: this token names no domain, so the query must"


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"token": "e.y.J", "jti": None}, TokenRevocation("e.y.J")),
        ({"jti": "j", "unknown": 1}, JtiRevocation("j")),
        ({"subscriber-id": "b"}, SubscriberRevocation("b")),
    ],
)
def test_revocations(document: dict[str, Any], expected: Revocation) -> None:
    """One of three forms; the token is never shown (MS-13)."""
    assert rest.revocation(document) == expected
    assert "e.y.J" not in repr(rest.revocation(document))


def is_read(document: object) -> bool:
    """Whether a revocation is understood; what is not is refused with 400."""
    try:
        rest.revocation(document)
    except RestError as error:
        if error.status == 400:
            return False
        raise
    return True


LETTERS = st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=1, max_size=99)


@given(
    st.dictionaries(
        st.sampled_from(["token", "jti", "subscriber-id"]),
        st.none() | LETTERS | st.sampled_from(["", "\n", 1, [], True]),
    )
)
def test_any_revocation(document: dict[str, Any]) -> None:
    """Exactly what names one thing in one way is read, all else is refused with 400 (SE-6)."""
    given = [value for value in document.values() if value is not None]
    is_good = len(given) == 1 and isinstance(given[0], str) and given[0] not in ("", "\n")
    assert is_read(document) is is_good


def test_log_page() -> None:
    """A log mixes kinds: types stay, each entry has its cursor, none a `reply-to` (section 11)."""
    entries = [SENT.text(cursor="k:1"), READ.text(cursor="k:2")]
    page = orjson.loads(rest.log_page(entries, cursor="k:2", complete=True, more=False))
    messages = page.pop("messages")
    assert page == {"cursor": "k:2", "complete": True, "more": False}
    assert [(one["type"], one["cursor"]) for one in messages] == [
        ("direct-message", "k:1"),
        ("delivery", "k:2"),
    ]
    assert all("reply-to" not in one for one in messages)


def test_pages_of_one_kind() -> None:
    """Elsewhere objects have no type (section 11)."""
    assert orjson.loads(rest.rooms([MembershipView("r", "n", administrator=False)])) == {
        "channels": [{"channel-id": "r", "name": "n", "administrator": False}]
    }
    assert orjson.loads(rest.members_page([SubscriberView("b")], more=True)) == {
        "subscribers": [SUBSCRIBER],
        "more": True,
    }
    page = orjson.loads(rest.history_page([SENT.bare()], more=False))
    assert page["more"] is False
    assert [one["message-id"] for one in page["messages"]] == ["m"]
    assert "type" not in page["messages"][0]


def test_subscriber_page() -> None:
    """The operator sees a subscriber's state, connections and Log (section 11)."""
    page = rest.subscriber_page(
        SubscriberView("b"),
        [ConnectionView("websocket", AT, "k:2")],
        LogView("k:1", "k:2", 2),
    )
    assert orjson.loads(page) == {
        "subscriber": SUBSCRIBER,
        "connections": [
            {"transport": "websocket", "since": "2026-01-05T10:00:00.120Z", "cursor": "k:2"}
        ],
        "log": {"first": "k:1", "last": "k:2", "entries": 2},
    }


def test_message_page() -> None:
    """Status and legs for each recipient, and nothing of the content (section 11)."""
    recipients = [
        RecipientView("b", MessageStatus.RECEIVED, [{"channel": "ps-1", "result": "delivered"}]),
        RecipientView("c", MessageStatus.STORED),
    ]
    assert orjson.loads(rest.message_page("m", recipients)) == {
        "message-id": "m",
        "recipients": [
            {
                "subscriber-id": "b",
                "status": "received",
                "legs": [{"channel": "ps-1", "result": "delivered"}],
            },
            {"subscriber-id": "c", "status": "stored", "legs": []},
        ],
    }
