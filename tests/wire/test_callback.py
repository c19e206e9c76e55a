"""tocsin.wire.callback: what may be handed in for one channel (CH-116)."""

import json
from typing import Any

import pytest
from tests.fakes.deliveries import T0

from tocsin.model.errors import RequestError
from tocsin.model.notification import Notification, Priority
from tocsin.model.services import Declared, Services
from tocsin.wire.callback import parse_callback

MESSAGE = {"chatMessageNotification": {"id": "1", "dateTime": 5}}
SERVICES = "sms, chat, call, presence, account"


def parse(
    document: object = MESSAGE, params: dict[str, str] | None = None, **more: Any
) -> Notification:
    """Parse what producer `p` handed in at T0 for a channel of `u`."""
    options = {"user": "u", "now": T0, "producer": "p", "most_bytes": 65_536, **more}
    return parse_callback(document, params or {}, **options)


def refusal(
    document: object = MESSAGE, params: dict[str, str] | None = None
) -> tuple[str, tuple[str, ...]]:
    """What is said about something that is refused."""
    with pytest.raises(RequestError) as refused:
        parse(document, params)
    return refused.value.message_id, refused.value.variables


def test_a_body_alone_is_enough() -> None:
    """Service and defaults follow from the root key (CH-101), the user from the channel."""
    one = parse()
    assert (one.user, one.service, one.root_key) == ("u", "chat", "chatMessageNotification")
    assert (one.id, one.is_named, one.producer) == ("1", True, "p")
    assert (one.priority, one.expires_at) == (Priority.NORMAL, T0 + 7 * 86_400_000)
    assert (one.order_key, one.collapse_key) == ("chat u", None)
    assert one.body == b'{"chatMessageNotification":{"id":"1","dateTime":5}}'


def test_the_query_says_the_rest() -> None:
    """As the members of the same names do, all of it text (CH-116)."""
    one = parse(
        params={
            "service": "sms",
            "priority": "urgent",
            "expires_in": "7",
            "collapse_key": "c+1",
            "order_key": "o",
        }
    )
    assert (one.service, one.priority, one.expires_at) == ("sms", Priority.URGENT, T0 + 7000)
    assert (one.collapse_key, one.order_key) == ("c+1", "o")


@pytest.mark.parametrize(
    ("root_key", "service"),
    [
        ("wrtcsSessionInvitationNotification", "call"),
        ("gone", "call"),
        ("groupChatSessionInvitationNotification", "chat"),
        ("inboundSMSMessageNotification", "sms"),
        ("deliveryInfoNotification", "sms"),
        ("presenceNotification", "presence"),
        ("userStatusNotification", "account"),
    ],
)
def test_the_service_of_a_root_key(root_key: str, service: str) -> None:
    """By CH-101's table."""
    assert parse({root_key: {}}).service == service


def test_a_root_key_nobody_knows() -> None:
    """Its service must be said, unless the operator has (CH-97, CH-116)."""
    assert refusal({"x": {}}) == ("SVC0002", ("service",))
    assert parse({"x": {}}, {"service": "chat"}).service == "chat"
    declared = Services({"alarm": Declared(root_keys=frozenset({"x"}))})
    assert parse({"x": {}}, services=declared).service == "alarm"


def test_an_id_is_made_where_there_is_none() -> None:
    """And stands in the object (CH-100)."""
    one = parse({"gone": {}})
    [body] = json.loads(one.body).values()
    assert (body["id"], body["dateTime"], one.is_named) == (one.id, T0, False)


@pytest.mark.parametrize("document", [None, 5, "text", [], [MESSAGE]])
def test_the_body_is_an_object(document: object) -> None:
    """Anything else is a bad body (CH-121)."""
    assert refusal(document) == ("SVC0002", ("body",))


@pytest.mark.parametrize(
    "document", [{}, {"a": {}, "b": {}}, {"connAck": {}}, {"a": 1}, {"1": {}}, {"a": None}]
)
def test_the_body_is_a_notification(document: object) -> None:
    """Two root keys, none, or a reserved one (CH-121)."""
    assert refusal(document) == ("SVC0002", ("notification",))


@pytest.mark.parametrize(
    ("name", "value", "message_id", "variables"),
    [
        ("service", "", "SVC0003", ("service", SERVICES)),
        ("service", "fax", "SVC0003", ("service", SERVICES)),
        ("priority", "", "SVC0003", ("priority", "urgent, normal, low")),
        ("priority", "high", "SVC0003", ("priority", "urgent, normal, low")),
        *(
            ("expires_in", value, "SVC0002", ("expires_in",))
            for value in ("", "0", "-1", "1.5", "2592001", "x", "9" * 99)
        ),
        ("collapse_key", "", "SVC0002", ("collapse_key",)),
        ("order_key", "x" * 257, "SVC0002", ("order_key",)),
        ("destination_address", "+1", "SVC0002", ("destination_address",)),
        ("expiresin", "5", "SVC0002", ("expiresin",)),
    ],
)
def test_a_bad_parameter_is_named(
    name: str, value: str, message_id: str, variables: tuple[str, ...]
) -> None:
    """By the rules of the members; an unknown one is a typing mistake (CH-112)."""
    assert refusal(params={name: value}) == (message_id, variables)


def test_a_stray_ampersand() -> None:
    """A parameter without a name is none."""
    assert parse(params={"": ""}).id == "1"


def test_what_is_too_large() -> None:
    """The bound of CH-110 counts here too; what we add is free."""
    frame = len(b'{"gone":{"t":""}}')
    assert len(parse({"gone": {"t": "x" * (100 - frame)}}, most_bytes=100).body) > 100
    with pytest.raises(RequestError, match="413"):
        parse({"gone": {"t": "x" * (101 - frame)}}, most_bytes=100)


def test_the_first_bad_member_is_named() -> None:
    """In the order of CH-110's table (CH-121)."""
    body: dict[str, Any] = {"x": {"id": ""}}
    params = {"zz": "", "order_key": "", "priority": "", "service": "fax"}
    assert refusal({}, params)[1][0] == "service"
    params["service"] = "chat"
    assert refusal({}, params)[1] == ("notification",)
    assert refusal(body, params)[1] == ("id",)
    body["x"]["id"] = "1"
    for name in ("priority", "order_key", "zz"):
        assert refusal(body, params)[1][0] == name
        del params[name]
    assert parse(body, params).id == "1"
