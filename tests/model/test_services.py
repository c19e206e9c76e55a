"""tocsin.model.services: the tables of CH-93 and CH-101, row by row."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.model.channel import ChannelType
from tocsin.model.notification import Priority
from tocsin.model.services import CHANNEL_TYPES, SERVICES, defaults

URGENT, NORMAL, LOW = Priority
WEEK = 7 * 86_400
SESSION = {"link": [{"rel": "other", "href": "/x"}, {"rel": "wrtcsSession", "href": "/s/S1"}]}
ONE_TO_ONE = {"link": [{"href": "/cpaas/chat/v1/u/oneToOne/bob@x.com/adhoc/messages/M1"}]}
GROUP = {"link": [{"href": "/cpaas/chat/v1/u/group/G1"}]}
INBOUND = {"inboundSMSMessage": {"senderAddress": "+1", "destinationAddress": "+2"}}
OUTBOUND = {"outboundSMSMessage": {"senderAddress": "+2", "destinationAddress": "+1"}}
RECEIPT = {"deliveryInfo": {"address": "+1"}}
COMPOSING = {"isComposing": {"state": "active"}, **ONE_TO_ONE}

ROWS = [
    ("wrtcsSessionInvitationNotification", "call", SESSION, URGENT, 45, "S1"),
    ("wrtcsAcceptanceNotification", "call", SESSION, URGENT, 60, "S1"),
    ("wrtcsEventNotification", "call", SESSION, URGENT, 60, "S1"),
    ("gone", "call", SESSION, URGENT, 60, "S1"),
    ("chatMessageNotification", "chat", COMPOSING, NORMAL, 10, "oneToOne/bob@x.com"),
    ("chatMessageNotification", "chat", ONE_TO_ONE, NORMAL, WEEK, "oneToOne/bob@x.com"),
    ("chatEventNotification", "chat", GROUP, NORMAL, WEEK, "group/G1"),
    ("groupChatSessionInvitationNotification", "chat", GROUP, NORMAL, WEEK, "group/G1"),
    ("multimediaChatNotification", "chat", GROUP, NORMAL, WEEK, "group/G1"),
    ("inboundSMSMessageNotification", "sms", INBOUND, NORMAL, WEEK, "+1>+2"),
    ("outboundSMSMessageNotification", "sms", OUTBOUND, NORMAL, WEEK, "+2>+1"),
    ("smsEventNotification", "sms", {}, NORMAL, WEEK, None),
    ("deliveryInfoNotification", "sms", RECEIPT, NORMAL, WEEK, "+1"),
    ("presenceNotification", "presence", {"presentityUserId": "bob"}, LOW, 3600, "bob"),
    ("userStatusNotification", "account", {}, NORMAL, WEEK, None),
]


@pytest.mark.parametrize(("root_key", "service", "body", "priority", "expires_in", "key"), ROWS)
def test_every_row_of_the_defaults(
    root_key: str,
    service: str,
    body: dict[str, object],
    priority: Priority,
    expires_in: int,
    key: str | None,
) -> None:
    """Priority, expiry and order key of CH-101; only presence collapses."""
    row = defaults(service, root_key, body)
    assert (row.priority, row.expires_in, row.order_key(body)) == (priority, expires_in, key)
    assert row.collapses is (service == "presence")


@pytest.mark.parametrize(
    ("service", "priority", "expires_in"),
    [
        ("sms", NORMAL, WEEK),
        ("chat", NORMAL, WEEK),
        ("call", URGENT, 60),
        ("presence", LOW, 3600),
        ("account", NORMAL, WEEK),
    ],
)
def test_unknown_root_keys_get_their_services_defaults(
    service: str, priority: Priority, expires_in: int
) -> None:
    """New kinds of notifications need no change here (CH-100)."""
    row = defaults(service, "somethingNew", {})
    assert (row.priority, row.expires_in) == (priority, expires_in)


def test_which_service_may_use_which_channel() -> None:
    """CH-93."""
    assert set(CHANNEL_TYPES) == set(SERVICES)
    for service in ("sms", "chat", "call"):
        assert CHANNEL_TYPES[service] == set(ChannelType)
    assert set(ChannelType) - CHANNEL_TYPES["presence"] == {ChannelType.OMAPUSH}
    assert CHANNEL_TYPES["account"] == {ChannelType.WEBHOOKS}


@pytest.mark.parametrize(
    "link",
    [
        None,
        "text",
        [],
        [None],
        [{"rel": "wrtcsSession"}],
        [{"rel": "wrtcsSession", "href": 5}],
        [{"rel": "wrtcsSession", "href": "///"}],
    ],
)
def test_where_no_session_is_found(link: object) -> None:
    """The order key is left to the caller."""
    row = defaults("call", "wrtcsEventNotification", {"link": link})
    assert row.order_key({"link": link}) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["link", "href", "rel", "deliveryInfo", "address", "inboundSMSMessage"])
            | st.text(max_size=3),
            inner,
            max_size=3,
        )
    ),
    max_leaves=10,
)


@given(
    st.sampled_from(SERVICES),
    st.sampled_from([row[0] for row in ROWS]) | st.text(min_size=1, max_size=10),
    st.dictionaries(
        st.sampled_from(
            ["link", "isComposing", "deliveryInfo", "inboundSMSMessage", "presentityUserId"]
        ),
        JSON,
    ),
)
def test_any_body_has_an_order_key_or_none(
    service: str, root_key: str, body: dict[str, object]
) -> None:
    """Whatever a publisher sends, the table neither fails nor gives an empty key."""
    key = defaults(service, root_key, body).order_key(body)
    assert key != ""
    assert isinstance(key, str | None)
