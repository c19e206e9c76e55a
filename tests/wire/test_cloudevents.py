"""tocsin.wire.cloudevents: events as notifications (CH-113)."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.deliveries import T0

from tocsin.model.errors import RequestError
from tocsin.model.notification import Notification, Priority
from tocsin.model.services import Declared, Services
from tocsin.wire.cloudevents import is_binary_mode, parse_event

LIMIT = 65_536
SERVICES = "sms, chat, call, presence, account"


def parse(thing: object, *, services: Services | None = None) -> Notification:
    """Parse an event that client `p` handed in at T0."""
    return parse_event(
        thing, now=T0, producer="p", most_bytes=LIMIT, services=services or Services()
    )


def event(**attributes: object) -> dict[str, Any]:
    """A good event, with other attributes; None takes one away."""
    good = {
        "specversion": "1.0",
        "type": "chat.chatMessageNotification",
        "source": "/chat",
        "subject": "me@x.com",
        "id": "M1",
        "data": {"chatMessageNotification": {"chatMessage": {"text": "hi"}}},
    }
    return {name: value for name, value in {**good, **attributes}.items() if value is not None}


def refusal(thing: object) -> tuple[int, str, tuple[str, ...]]:
    """What is said about an event that is refused."""
    with pytest.raises(RequestError) as refused:
        parse(thing)
    return refused.value.status, refused.value.message_id, refused.value.variables


def text_of(one: Notification) -> Any:
    """The object in a notification's text."""
    [body] = json.loads(one.body).values()
    return body


# -- each row ------------------------------------------------------------------------------


def test_an_event_is_a_notification() -> None:
    """Every attribute lands in the member it stands for (CH-113)."""
    one = parse(
        event(
            time="2026-01-01T00:00:00Z",
            priority="low",
            expiresin="600",
            collapsekey="c",
            orderkey="o",
            destinationaddress="+1",
            datacontenttype="application/json; charset=utf-8; v=1",
        )
    )
    assert (one.user, one.service, one.root_key) == ("me@x.com", "chat", "chatMessageNotification")
    assert (one.id, one.is_named, one.producer) == ("M1", True, "p /chat")
    assert (one.priority, one.accepted_at, one.expires_at) == (Priority.LOW, T0, T0 + 600_000)
    assert (one.collapse_key, one.order_key, one.destination) == ("c", "o", "+1")
    assert text_of(one) == {"chatMessage": {"text": "hi"}, "id": "M1", "dateTime": 1767225600000}


def test_what_is_not_said_comes_from_the_table() -> None:
    """The example of CH-113 gets the defaults of its root key (CH-101)."""
    one = parse(event(expiresin=600))
    assert (one.priority, one.expires_at) == (Priority.NORMAL, T0 + 600_000)
    assert (one.order_key, one.collapse_key, one.destination) == ("chat me@x.com", None, None)


@pytest.mark.parametrize("version", [None, "", "1", "1.0.2", "0.3", 1.0, 1, [], {}])
def test_specversion_is_1_0(version: object) -> None:
    """Anything else is not in the list of one."""
    assert refusal(event(specversion=version)) == (400, "SVC0003", ("specversion", "1.0"))


@pytest.mark.parametrize(
    "type_",
    [
        *(None, "", "chat", 5, [], "chat.", "chat.1a", "chat.a b", "chat.connAck"),
        *("chat.connCheck", "chat.channelResumed", "chat.a.b", "chat." + "a" * 65),
    ],
)
def test_a_type_is_a_service_and_a_root_key(type_: object) -> None:
    """Split at the first dot; the second half must be able to be a root key (CH-100)."""
    assert refusal(event(type=type_)) == (400, "SVC0002", ("type",))


@pytest.mark.parametrize("type_", ["fax.x", ".x", "Chat.x", "com.example.x", "chat\n.x"])
def test_a_type_names_a_known_service(type_: str) -> None:
    """SVC0003 with those there are."""
    assert refusal(event(type=type_)) == (400, "SVC0003", ("type", SERVICES))


def test_a_declared_service() -> None:
    """One that the operator has added is as good as ours, its defaults too (CH-97)."""
    services = Services({"alarm": Declared(root_keys=frozenset({"siren"}), expires_in=9)})
    one = parse(event(type="alarm.siren", data={"siren": {}}), services=services)
    assert (one.service, one.expires_at) == ("alarm", T0 + 9000)


@pytest.mark.parametrize("subject", [None, "", "x" * 257, "a\nb", 5, ["u"]])
def test_the_subject_is_the_user(subject: object) -> None:
    """Required, by the rule for users (CH-110)."""
    assert refusal(event(subject=subject)) == (400, "SVC0002", ("subject",))


@pytest.mark.parametrize("id_", [None, "", "x" * 129, 'a"', "a\\", "a b", "é", 5])
def test_an_event_has_an_id(id_: object) -> None:
    """Required, by the rule for ids (CH-110)."""
    assert refusal(event(id=id_)) == (400, "SVC0002", ("id",))


@pytest.mark.parametrize("inner", ["M2", 5, "a b"])
def test_the_id_inside_must_not_differ(inner: object) -> None:
    """As for a notification that is no event (CH-110)."""
    data = {"chatMessageNotification": {"id": inner}}
    assert refusal(event(data=data)) == (400, "SVC0002", ("id",))


def test_the_same_id_inside() -> None:
    """Is where it was."""
    one = parse(event(data={"chatMessageNotification": {"id": "M1", "a": 1, "dateTime": 5}}))
    assert list(text_of(one)) == ["id", "a", "dateTime"]


@pytest.mark.parametrize("source", [None, "", "a b", "a\n", "\x85", "x" * 1025, 5, []])
def test_an_event_has_a_source(source: object) -> None:
    """Required, a URI-reference: never with a blank, so that producer and source stay apart."""
    assert refusal(event(source=source)) == (400, "SVC0002", ("source",))


def test_sources_of_one_client_are_producers_of_their_own() -> None:
    """Ids are unique per source only, as CloudEvents has it."""
    producers = {parse(event(source=source)).producer for source in ("/a", "/b", "urn:x:y")}
    assert len(producers) == 3


@pytest.mark.parametrize(
    "data",
    [
        *(None, 5, "text", [], {}, {"a": {}, "chatMessageNotification": {}}, {"a": {}}),
        *({"chatMessageNotification": []}, {"chatMessageNotification": None}),
        *({"ChatMessageNotification": {}}, {"connAck": {}}),
    ],
)
def test_data_is_the_notification_of_that_type(data: object) -> None:
    """One root key, that of the type, holding an object."""
    assert refusal(event(data=data)) == (400, "SVC0002", ("data",))


def test_data_that_is_too_large() -> None:
    """The limit of CH-110 counts for what was handed in; what we add is free."""
    frame = len(b'{"chatMessageNotification":{"t":""}}')

    def of_size(size: int) -> dict[str, Any]:
        return event(data={"chatMessageNotification": {"t": "x" * (size - frame)}}, time="bad")

    assert refusal(of_size(LIMIT + 1)) == (413, "SVC0001", ("too_large",))
    assert refusal(of_size(LIMIT)) == (400, "SVC0002", ("time",))


def test_data_base64_is_not_taken() -> None:
    """Neither beside data nor instead of it."""
    assert refusal(event(data_base64="e30=")) == (400, "SVC0002", ("data_base64",))
    assert refusal(event(data=None, data_base64="e30=")) == (400, "SVC0002", ("data_base64",))


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/xml", "application/json; charset=latin-1", 5, "x" * 999]
)
def test_data_is_json(kind: object) -> None:
    """`datacontenttype` says so or nothing."""
    assert refusal(event(datacontenttype=kind)) == (400, "SVC0002", ("datacontenttype",))


@pytest.mark.parametrize("time", ["", "yesterday", "2026-01-01", 5, True, {}])
@pytest.mark.parametrize("inner", [{}, {"dateTime": 5}])
def test_a_malformed_time(time: object, inner: dict[str, int]) -> None:
    """Is refused also where nobody needs it."""
    thing = event(time=time, data={"chatMessageNotification": inner})
    assert refusal(thing) == (400, "SVC0002", ("time",))


@pytest.mark.parametrize(
    ("time", "inner", "expected"),
    [
        (None, None, T0),
        ("1970-01-01T00:00:01.5+00:00", None, 1500),
        ("1970-01-01T00:00:01Z", 5, 5),
        ("1970-01-01T00:00:01Z", "then", "then"),
    ],
)
def test_time_is_the_date_of_an_object_without_one(
    time: str | None, inner: object, expected: object
) -> None:
    """The object's own wins; without either it is when we accepted it (CH-100)."""
    one = parse(event(time=time, data={"chatMessageNotification": {"dateTime": inner}}))
    assert text_of(one)["dateTime"] == expected


@pytest.mark.parametrize("priority", ["", "high", 1])
def test_priority(priority: object) -> None:
    """Under its own name, as all are."""
    assert refusal(event(priority=priority))[1:] == ("SVC0003", ("priority", "urgent, normal, low"))


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("expiresin", [0, -1, 2_592_001, 1.5, "x", True]),
        ("collapsekey", ["", "x" * 257, 5]),
        ("orderkey", ["", "x" * 257, 5]),
        ("destinationaddress", ["", "x" * 257, 5]),
    ],
)
def test_an_extension_of_ours_is_named_as_it_is_spelled(name: str, wrong: list[object]) -> None:
    """`expiresin`, not `expires_in`: attribute names have no underscore."""
    for value in wrong:
        assert refusal(event(**{name: value})) == (400, "SVC0002", (name,))


@pytest.mark.parametrize("name", ["expires_in", "user", "traceparent", "dataschema", "Priority"])
def test_other_extensions_are_ignored(name: str) -> None:
    """Producers put in what other consumers need; CH-112 is for items."""
    one, other = parse(event()), parse(event(**{name: {"any": 0}}))
    assert (one.body, one.expires_at, one.user) == (other.body, other.expires_at, other.user)


def test_null_is_absent() -> None:
    """The JSON format of CloudEvents says so."""
    nothing = dict.fromkeys(("time", "priority", "expiresin", "data_base64", "datacontenttype"))
    assert parse({**event(), **nothing}).body == parse(event()).body


def test_the_first_bad_attribute_is_named() -> None:
    """In the order of CH-113's table, whatever the order in the text (CH-121)."""
    wrong: dict[str, Any] = {
        "destinationaddress": "",
        "orderkey": "",
        "collapsekey": "",
        "expiresin": 0,
        "priority": "",
        "time": "",
        "datacontenttype": "text/plain",
        "data": {},
        "source": "",
        "id": "",
        "subject": "",
        "type": "",
        "specversion": "",
    }
    good = event()
    named = []
    order = list(reversed(wrong))
    for name in order:
        named.append(refusal(wrong)[2][0])
        del wrong[name]
        wrong |= {name: good[name]} if name in good else {}
    assert named == order
    assert parse(wrong).id == "M1"


# -- everything else -----------------------------------------------------------------------


@pytest.mark.parametrize("thing", [None, 5, "text", [], True, 1.5, [event()]])
def test_an_event_is_an_object(thing: object) -> None:
    """Anything else is a bad body."""
    assert refusal(thing) == (400, "SVC0002", ("body",))


def test_binary_mode_is_told_by_its_headers() -> None:
    """Any `ce-` header; names come in lower case."""
    assert is_binary_mode({"host": "x", "ce-id": "1"})
    assert not is_binary_mode({"host": "x", "x-ce-id": "1", "cell": "", "ce": ""})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)
ATTRIBUTES = (
    *("specversion", "type", "source", "subject", "id", "data", "time", "priority", "expiresin"),
    *("collapsekey", "orderkey", "destinationaddress", "data_base64", "datacontenttype", "other"),
)
attributes = st.fixed_dictionaries({}, optional=dict.fromkeys(ATTRIBUTES, json_values))


@given(attributes, st.lists(st.sampled_from(sorted(event())), unique=True), json_values)
def test_anything_is_a_notification_or_a_refusal(
    given_event: dict[str, Any], kept: list[str], data: object
) -> None:
    """Nothing but `RequestError` comes out, however close to good it is."""
    thing = {**given_event, **{name: event()[name] for name in kept}}
    if isinstance(data, dict) and "data" in kept:
        thing["data"] = {"chatMessageNotification": data}
    try:
        one = parse(thing)
    except RequestError:
        return
    assert (one.id, one.is_named) == (thing["id"], True)
    assert text_of(one)["id"] == one.id
    assert T0 < one.expires_at <= T0 + 2_592_000_000
