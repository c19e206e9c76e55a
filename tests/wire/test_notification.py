"""tocsin.wire.notification: what a publisher may hand in (CH-100, CH-101, CH-110, CH-112)."""

import copy
import json
import re
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.deliveries import T0

from tocsin.model.errors import RequestError
from tocsin.model.notification import Notification, Priority
from tocsin.wire import strictjson
from tocsin.wire.notification import MEMBERS, parse_item

LIMIT = 65_536
WEEK = 7 * 86_400_000


def parse(item: object, *, most_bytes: int = LIMIT) -> Notification:
    """Parse an item that was accepted at T0 from producer `p`."""
    return parse_item(item, now=T0, producer="p", most_bytes=most_bytes)


def item(**members: object) -> dict[str, object]:
    """A good item, with other members; None takes one away."""
    good = {"user": "u", "service": "sms", "notification": {"x": {"id": "1", "dateTime": 5}}}
    return {name: value for name, value in {**good, **members}.items() if value is not None}


def refusal(thing: object) -> RequestError:
    """What is said about an item that is refused."""
    with pytest.raises(RequestError) as refused:
        parse(thing)
    return refused.value


def body_of(text: bytes) -> Any:
    """The object in a notification's text, integers exact."""
    [body] = json.loads(text).values()
    return body


# -- members -------------------------------------------------------------------------------


@pytest.mark.parametrize("thing", [None, 5, "text", [], True, 1.5])
def test_an_item_is_an_object(thing: object) -> None:
    """CH-110; anything else is a bad body."""
    assert refusal(thing).variables == ("body",)


@pytest.mark.parametrize(
    ("member", "wrong"),
    [
        ("user", [None, "", "x" * 257, "a\nb", "a\x7fb", "a\x85b", 5, ["u"]]),
        (
            "notification",
            [
                None,
                {},
                [],
                "text",
                {"a": {}, "b": {}},
                {"a": []},
                {"a": None},
                {"a": "text"},
                {"": {}},
                {"1a": {}},
                {"a b": {}},
                {"a" * 65: {}},
                {"é": {}},
                {"a\n": {}},
                {"connCheck": {}},
                {"connAck": {}},
                {"channelResumed": {}},
            ],
        ),
        ("id", ["", "x" * 129, 'a"b', "a\\b", "a b", "é", "a\n", 5, True, []]),
        ("expires_in", [0, -1, 2_592_001, 1.5, "x", "", "-1", "1.0", True, [], "9" * 30]),
        ("collapse_key", ["", "x" * 257, 5, []]),
        ("order_key", ["", "x" * 257, 5, []]),
        ("destination_address", ["", "x" * 257, 5, ["+1"]]),
    ],
)
def test_a_bad_member_is_named(member: str, wrong: list[object]) -> None:
    """400 SVC0002 with its name, for each way to be wrong (CH-110)."""
    for value in wrong:
        error = refusal(item(**{member: value}))
        assert (error.status, error.message_id, error.variables) == (400, "SVC0002", (member,))


@pytest.mark.parametrize(
    ("member", "wrong"),
    [
        ("service", ["", "SMS", "fax", 5, []]),
        ("priority", ["", "high", "URGENT", 1, []]),
    ],
)
def test_a_value_outside_its_list_is_named_with_the_list(member: str, wrong: list[object]) -> None:
    """400 SVC0003 (CH-110)."""
    for value in wrong:
        error = refusal(item(**{member: value}))
        assert (error.status, error.message_id) == (400, "SVC0003")
        assert error.variables[0] == member


def test_a_missing_service_is_a_missing_member() -> None:
    """SVC0002, as the example of CH-110 shows."""
    error = refusal(item(service=None))
    assert (error.message_id, error.variables) == ("SVC0002", ("service",))


@pytest.mark.parametrize("member", ["expiresIn", "Priority", "ttl", "", "order-key"])
def test_an_unknown_member_is_an_error(member: str) -> None:
    """CH-112: a typing mistake must not silently become a default."""
    error = refusal(item(**{member: 1}))
    assert (error.status, error.message_id, error.variables) == (400, "SVC0002", (member,))


def test_the_first_bad_member_is_named() -> None:
    """In the order of CH-110's table, whatever the order in the text (CH-121)."""
    wrong = {"zzz": 1, "order_key": "", "expires_in": 0, "id": "", "service": "fax", "user": ""}
    named = []
    for member in ("user", "service", "id", "expires_in", "order_key", "zzz"):
        named.append(refusal(item(**wrong)).variables[0])
        del wrong[member]
    assert named == ["user", "service", "id", "expires_in", "order_key", "zzz"]


@pytest.mark.parametrize(
    "good",
    [
        {"user": "x" * 256},
        {"user": "+1 6 (é)"},
        {"id": "!~" * 64, "notification": {"x": {}}},
        {"notification": {"A" + "-_9" * 21: {}}},
        {"expires_in": 1},
        {"expires_in": "2592000"},
        {"collapse_key": "x" * 256, "order_key": "é"},
    ],
)
def test_the_edges_of_what_is_good(good: dict[str, object]) -> None:
    """The last value that passes, of each rule."""
    assert isinstance(parse(item(**good)), Notification)


def test_the_publishers_values_win() -> None:
    """Everything that can be said, is taken (CH-101)."""
    one = parse(
        item(
            priority="low",
            expires_in=7,
            collapse_key="c",
            order_key="o",
            destination_address="+1",
        )
    )
    assert (one.user, one.service, one.root_key, one.producer) == ("u", "sms", "x", "p")
    assert (one.priority, one.accepted_at, one.expires_at) == (Priority.LOW, T0, T0 + 7000)
    assert (one.collapse_key, one.order_key, one.destination) == ("c", "o", "+1")


def test_what_is_not_said_comes_from_the_table() -> None:
    """Priority, expiry, order and collapse key (CH-101), and the number (CH-110)."""
    presence = parse(
        item(service="presence", notification={"presenceNotification": {"presentityUserId": "bob"}})
    )
    assert (presence.priority, presence.expires_at) == (Priority.LOW, T0 + 3_600_000)
    assert (presence.order_key, presence.collapse_key) == ("bob", "bob")
    message = {"senderAddress": "+1", "destinationAddress": "+2"}
    sms = parse(
        item(notification={"inboundSMSMessageNotification": {"inboundSMSMessage": message}})
    )
    assert (sms.order_key, sms.collapse_key, sms.destination) == ("+1>+2", None, "+2")
    unknown = parse(item())
    assert (unknown.order_key, unknown.expires_at) == ("sms u", T0 + WEEK)


# -- the text ------------------------------------------------------------------------------


def test_id_and_date_are_added_behind_everything_else() -> None:
    """T2: one level below the root, where absent; nothing else changes (CH-100)."""
    text = parse(item(id="e1", notification={"x": {"b": 1, "a": {"z": [], "y": {}}}})).body
    assert text == b'{"x":{"b":1,"a":{"z":[],"y":{}},"id":"e1","dateTime":%d}}' % T0


def test_what_is_there_stays_where_it_is() -> None:
    """Members keep their order and their values, also ours."""
    text = parse(item(notification={"x": {"dateTime": "then", "id": "7", "n": None}})).body
    assert text == b'{"x":{"dateTime":"then","id":"7","n":null}}'


def test_an_empty_object_is_a_notification() -> None:
    """It becomes one with an id and a date."""
    assert list(body_of(parse(item(notification={"gone": {}})).body)) == ["id", "dateTime"]


def test_where_the_id_comes_from() -> None:
    """The outer one, else the inner one, else a fresh uuid4; always in the object (CH-110)."""
    inner = {"x": {"id": "inner"}}
    assert parse(item(notification=inner)).id == "inner"
    assert parse(item(id="inner", notification={"x": {"id": "inner"}})).id == "inner"
    outer = parse(item(id="outer", notification={"x": {"id": None}}))
    assert (outer.id, body_of(outer.body)["id"]) == ("outer", "outer")
    fresh = parse(item(notification={"x": {}}))
    assert uuid.UUID(fresh.id).version == 4
    assert body_of(fresh.body)["id"] == fresh.id


def test_an_id_of_the_producers_own_is_told_from_ours() -> None:
    """Only where the producer chose it, the same again is a repeat (CH-115)."""
    assert parse(item(id="outer", notification={"x": {}})).is_named
    assert parse(item(notification={"x": {"id": "inner"}})).is_named
    assert not parse(item(notification={"x": {"id": None}})).is_named


@pytest.mark.parametrize(("outer", "inner"), [("a", "b"), (None, "a b"), (None, 5), ("a", 5)])
def test_two_ids_must_not_differ(outer: str | None, inner: object) -> None:
    """And an inner one is held to the same rule (CH-110)."""
    assert refusal(item(id=outer, notification={"x": {"id": inner}})).variables == ("id",)


@pytest.mark.parametrize(
    "number",
    [
        2**53 + 1,
        -(2**63),
        2**64 - 1,
        2**64,
        -(2**63) - 1,
        10**40,
        0.1,
        1e300,
        5e-324,
    ],
)
def test_numbers_are_exact(number: float) -> None:
    """Integers of any size; fractions as doubles (CH-100)."""
    document = strictjson.loads(
        b'{"user":"u","service":"sms","notification":{"x":{"n":%b,"t":"\xc3\xa9\\u0001"}}}'
        % repr(number).encode()
    )
    body = body_of(parse(document).body)
    assert (body["n"], type(body["n"])) == (number, type(number))
    assert body["t"] == "é\x01"


def test_text_is_utf_8_and_compact() -> None:
    """The same form with and without huge integers."""
    plain = parse(item(notification={"x": {"é": ["\U0001f600", 1], "id": "1", "dateTime": 1}}))
    assert plain.body == '{"x":{"é":["\U0001f600",1],"id":"1","dateTime":1}}'.encode()
    huge = parse(item(notification={"x": {"é": [10**30], "id": "1", "dateTime": 1}}))
    assert huge.body == '{"x":{"é":[%d],"id":"1","dateTime":1}}'.encode() % 10**30


def test_the_size_of_what_was_handed_in_counts() -> None:
    """64 KiB pass, one byte more does not; what we add is free (CH-110)."""
    frame = len(b'{"x":{"t":""}}')
    fits = parse(item(notification={"x": {"t": "a" * (LIMIT - frame)}}))
    assert len(fits.body) > LIMIT
    for text in ("a" * (LIMIT - frame + 1), "é" * (LIMIT // 2)):
        error = refusal(item(notification={"x": {"t": text}}))
        assert (error.status, error.variables) == (413, ("too_large",))


def test_a_long_natural_order_key_is_cut() -> None:
    """A link without an end makes no key without an end."""
    link = [{"rel": "wrtcsSession", "href": "/s/" + "S" * 5000}]
    one = parse(item(service="call", notification={"wrtcsEventNotification": {"link": link}}))
    assert one.order_key == "S" * 256


# -- anything -----------------------------------------------------------------------------

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
bodies = st.dictionaries(
    st.sampled_from(["id", "dateTime", "link", "isComposing", "presentityUserId"])
    | st.text(max_size=8),
    json_values,
    max_size=5,
)
likely = {
    "user": st.text(max_size=5) | json_values,
    "service": st.sampled_from(["sms", "chat", "call", "presence", "account"]) | json_values,
    "notification": st.dictionaries(
        st.sampled_from(["chatMessageNotification", "x", "connAck"]), bodies, max_size=2
    )
    | json_values,
}


@given(
    st.fixed_dictionaries(
        likely, optional=dict.fromkeys(sorted(MEMBERS - set(likely)), json_values)
    )
    | st.dictionaries(st.text(max_size=5), json_values)
    | json_values
)
def test_anything_is_a_notification_or_a_refusal(thing: object) -> None:
    """Nothing but `RequestError` comes out; and what passes has what clients need (CH-100)."""
    before: Any = copy.deepcopy(thing)
    try:
        one = parse(thing)
    except RequestError:
        return
    body = body_of(one.body)
    assert body["id"] == one.id
    assert body["dateTime"] is not None
    assert re.fullmatch(r"[!-~]{1,128}", one.id)
    assert T0 < one.expires_at <= T0 + 2_592_000_000
    assert 1 <= len(one.order_key) <= 256
    [given_body] = before["notification"].values()
    kept = {name: value for name, value in given_body.items() if value is not None}
    assert {name: body[name] for name in kept} == kept
    assert list(body)[: len(given_body)] == list(given_body)
