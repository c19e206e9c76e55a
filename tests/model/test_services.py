"""tocsin.model.services: the tables of CH-93 and CH-101, row by row, and what is declared."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.model.channel import Channel, ChannelType, Device
from tocsin.model.notification import Priority
from tocsin.model.services import SERVICES, STANDARD, Declared, Services

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
    row = STANDARD.defaults(service, root_key, body)
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
    row = STANDARD.defaults(service, "somethingNew", {})
    assert (row.priority, row.expires_in) == (priority, expires_in)


def channel_of(kind: ChannelType, app: str | None = None) -> Channel:
    """A channel of any type; with an app, for its device."""
    device = None if app is None else Device("apns", app, "token")
    return Channel(Channel.new_id(kind), "u", kind, 0, "c", device=device)


@pytest.mark.parametrize("kind", ChannelType)
@pytest.mark.parametrize("service", SERVICES)
def test_every_cell_of_the_service_table(service: str, kind: ChannelType) -> None:
    """CH-93: presence is not pushed, account goes to webhooks alone, the rest anywhere (T10)."""
    allowed = {
        "presence": kind is not ChannelType.OMAPUSH,
        "account": kind is ChannelType.WEBHOOKS,
    }.get(service, True)
    assert STANDARD.allows(service, channel_of(kind)) is allowed
    assert (kind in STANDARD.types_of(service)) is allowed


@pytest.mark.parametrize("service", SERVICES)
def test_a_pushkit_app_takes_calls_alone(service: str) -> None:
    """CH-73, for an appId that ends in `.voip`; any other app takes what is pushed at all."""
    voip = channel_of(ChannelType.OMAPUSH, "com.example.app.voip")
    assert STANDARD.allows(service, voip) is (service == "call")
    app = channel_of(ChannelType.OMAPUSH, "com.example.app")
    assert STANDARD.allows(service, app) is (service in {"sms", "chat", "call"})


def test_a_service_that_is_declared_no_more_goes_nowhere() -> None:
    """A subscription in the store may outlive the declaration of its service (CH-97)."""
    assert STANDARD.types_of("tickets") == frozenset()
    assert not STANDARD.allows("tickets", channel_of(ChannelType.WEBSOCKETS))


DECLARED = Services(
    {
        "tickets": Declared(
            frozenset({ChannelType.WEBSOCKETS, ChannelType.OMAPUSH}),
            frozenset({"ticketNotification"}),
            LOW,
            90,
        ),
        "fax": Declared(),
    }
)


def test_declared_services_stand_beside_the_standard_ones() -> None:
    """CH-97: names, channel types and PushKit's rule; nothing changes for the standard ones."""
    assert DECLARED.names == (*SERVICES, "tickets", "fax")
    assert DECLARED.types_of("tickets") == {ChannelType.WEBSOCKETS, ChannelType.OMAPUSH}
    assert DECLARED.allows("tickets", channel_of(ChannelType.OMAPUSH, "app"))
    assert not DECLARED.allows("tickets", channel_of(ChannelType.OMAPUSH, "app.voip"))
    assert not DECLARED.allows("tickets", channel_of(ChannelType.WEBHOOKS))
    assert DECLARED.types_of("fax") == set(ChannelType)
    assert all(DECLARED.types_of(name) == STANDARD.types_of(name) for name in SERVICES)


@pytest.mark.parametrize(
    ("service", "root_key", "priority", "expires_in"),
    [
        ("tickets", "ticketNotification", LOW, 90),
        ("tickets", "somethingNew", LOW, 90),
        ("chat", "ticketNotification", LOW, 90),
        ("fax", "somethingNew", NORMAL, WEEK),
        ("fax", "presenceNotification", LOW, 3600),
    ],
)
def test_defaults_of_declared_services(
    service: str, root_key: str, priority: Priority, expires_in: int
) -> None:
    """The root key decides, as in CH-101's table; one nobody claims has its service's defaults."""
    row = DECLARED.defaults(service, root_key, SESSION)
    assert (row.priority, row.expires_in) == (priority, expires_in)
    assert row.order_key(SESSION) is None
    assert row.collapses is (root_key == "presenceNotification")


@pytest.mark.parametrize(("root_key", "service"), [row[:2] for row in ROWS])
def test_a_root_key_tells_its_service(root_key: str, service: str) -> None:
    """For `/callback`, where nobody names the service (CH-101, CH-116)."""
    assert STANDARD.of_root_key(root_key) == service
    assert DECLARED.of_root_key(root_key) == service


def test_root_keys_of_declared_services() -> None:
    """A declared one is told by what it declares, an unknown one not at all (CH-97, CH-116)."""
    assert DECLARED.of_root_key("ticketNotification") == "tickets"
    assert STANDARD.of_root_key("ticketNotification") is None
    assert DECLARED.of_root_key("userStatusNotifications") is None


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
    row = STANDARD.defaults("call", "wrtcsEventNotification", {"link": link})
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
    key = STANDARD.defaults(service, root_key, body).order_key(body)
    assert key != ""
    assert isinstance(key, str | None)
