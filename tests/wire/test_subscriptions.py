"""Subscription requests without I/O."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.deliveries import socket_channel, subscription, webhook_channel

from tocsin.model.channel import Channel
from tocsin.model.errors import RequestError
from tocsin.model.ids import new_channel_id, new_id
from tocsin.wire.request import split_path
from tocsin.wire.subscriptions import (
    ACCOUNT,
    CALL,
    CHAT,
    KINDS,
    PLACEHOLDER,
    PRESENCE,
    PRESENCE_LISTS,
    PROJECT,
    SMS_INBOUND,
    SMS_RECEIPTS,
    Kind,
    Place,
    channel_id_in,
    correlator_of,
    located,
    parse_subscription,
    render,
)

CHANNEL = new_channel_id("ws")
SOCKET = socket_channel()
CHANNELS = {SOCKET.id: SOCKET}
CREATED = [kind for kind in KINDS if not kind.spans]
VALUES = {"user": "u", "sender": "+1", "listId": "L1", "acct": "a", "proj": "p"}


def document(envelope: str, **members: Any) -> dict[str, Any]:
    return {envelope: {"callbackReference": {"notifyURL": SOCKET.id}, **members}}


def place_of(kind: Kind, **values: str) -> Place:
    """A place of this kind; values stand only where its path has a placeholder for them."""
    wanted = PLACEHOLDER.findall(kind.path)
    return kind.place({name: {**VALUES, **values}[name] for name in wanted})


def refusal(thing: object, kind: Kind, channels: dict[str, Channel] = CHANNELS) -> RequestError:
    """What is said about a subscription that is refused."""
    with pytest.raises(RequestError) as caught:
        parse_subscription(thing, kind, channels)
    return caught.value


@pytest.mark.parametrize(
    ("kind", "path", "envelope"),
    [
        (SMS_INBOUND, "/smsmessaging/v1/u/inbound/subscriptions", "subscription"),
        (
            SMS_RECEIPTS,
            "/smsmessaging/v1/u/outbound/+1/subscriptions",
            "deliveryReceiptSubscription",
        ),
        (CHAT, "/chat/v1/u/subscriptions", "chatNotificationSubscription"),
        (CALL, "/webrtcsignaling/v1/u/subscriptions", "wrtcsNotificationSubscription"),
        (
            PRESENCE,
            "/presence/v1/u/subscriptions/presenceListSubscriptions/L1",
            "presenceListSubscription",
        ),
        (PRESENCE_LISTS, "/presence/v1/u/subscriptions", "presenceListSubscription"),
        (ACCOUNT, "/account/v1/u/subscriptions", "projectSubscription"),
        (PROJECT, "/portal/v1/accounts/a/projects/p/subscriptions", "projectSubscription"),
    ],
)
def test_every_row_of_the_table(kind: Kind, path: str, envelope: str) -> None:
    """Path and envelopes of section 10, row by row."""
    assert place_of(kind).path == path
    assert (kind.envelope, kind.list_envelope) == (envelope, f"{envelope}List")


NAMES = st.text(min_size=1)


@given(st.sampled_from(KINDS), st.fixed_dictionaries(dict.fromkeys(VALUES, NAMES)))
def test_paths_lead_back(kind: Kind, values: dict[str, str]) -> None:
    """Whatever users, senders and lists are called, the path we write splits into the same
    (CH-3)."""
    path = split_path(place_of(kind, **values).path + "/id")
    assert path is not None
    pattern = split_path(kind.path + "/id")
    assert pattern is not None
    assert path == tuple(values[part[1:-1]] if part.startswith("{") else part for part in pattern)


def test_places_do_not_share_subscriptions() -> None:
    """Each is found at the place it was made for, all lists of presence apart (CH-90, CH-95)."""
    places = [place_of(kind) for kind in CREATED]
    places += [
        place_of(SMS_RECEIPTS, sender="+2"),
        place_of(PRESENCE, listId="L2"),
        place_of(PROJECT, proj="q"),
    ]
    for made_at in places:
        one = subscription(webhook_channel(), made_at.kind.service, sender=made_at.sender)
        one.listing = made_at.listing
        assert [place for place in places if place.holds(one)] == [made_at]
        is_presence = made_at.kind.service == "presence"
        assert place_of(PRESENCE_LISTS).holds(one) is is_presence


def test_a_projects_notifications_are_for_account_and_project() -> None:
    """CH-96."""
    assert place_of(PROJECT).user == "a/p"
    assert all(place_of(kind).user == "u" for kind in CREATED if kind is not PROJECT)


@given(st.text(), st.text(alphabet="/?#", min_size=1, max_size=1), st.text())
def test_any_url_around_a_channel(before: str, mark: str, after: str) -> None:
    """`/channels/{id}` is found in whatever URL a client builds around it (CH-91)."""
    if "/channels/" not in before:
        assert channel_id_in(f"{before}/channels/{CHANNEL}") == CHANNEL
        assert channel_id_in(f"{before}/channels/{CHANNEL}{mark}{after}") == CHANNEL


@given(st.recursive(st.none() | st.integers() | st.text(), st.lists) | st.text())
def test_anything_else_is_refused(value: object) -> None:
    """What names no channel is refused by that member's name, whatever it is (CH-91, SE-6)."""
    with pytest.raises(RequestError) as caught:
        channel_id_in(value)
    assert caught.value.variables == ("callbackReference.notifyURL",)


@pytest.mark.parametrize("kind", [SMS_INBOUND, SMS_RECEIPTS])
@pytest.mark.parametrize(
    ("given_address", "filter_"), [("tel:+1613", "+1613"), ("+1613", "+1613"), (None, None)]
)
def test_destination(kind: Kind, given_address: str | None, filter_: str | None) -> None:
    """`tel:` does not count in the filter, and is echoed as sent (CH-94)."""
    wanted = document(kind.envelope, destinationAddress=given_address)
    request = parse_subscription(wanted, kind, CHANNELS)
    assert request.destination == filter_
    assert request.members["destinationAddress"] == given_address


@pytest.mark.parametrize("kind", [kind for kind in CREATED if kind.service != "sms"])
def test_only_sms_has_a_filter(kind: Kind) -> None:
    """Elsewhere a destinationAddress is an unknown member: echoed, not judged (CH-4)."""
    request = parse_subscription(document(kind.envelope, destinationAddress=7), kind, CHANNELS)
    assert (request.channel, request.destination) == (SOCKET, None)
    assert request.members["destinationAddress"] == 7


@pytest.mark.parametrize("kind", CREATED)
def test_the_first_bad_member_is_named(kind: Kind) -> None:
    """In the order of section 10, whatever the order in the text (CH-121)."""
    wrong: dict[str, Any] = {
        "x-deliveryPolicy": "zz",
        "duration": 0,
        "destinationAddress": "",
        "clientCorrelator": "",
        "callbackReference": {"notifyURL": CHANNEL, "notificationFormat": "XML"},
    }
    filtered = {"destinationAddress"} if kind.filtered else set()
    fixes: list[tuple[str, Any]] = [
        ("callbackReference.notifyURL", {"notifyURL": SOCKET.id, "notificationFormat": 1}),
        ("callbackReference.notificationFormat", {"notifyURL": SOCKET.id}),
    ]
    for named, fixed in fixes:
        assert refusal({kind.envelope: wrong}, kind).variables[0] == named
        wrong["callbackReference"] = fixed
    for name in ("clientCorrelator", *filtered, "duration", "x-deliveryPolicy"):
        assert refusal({kind.envelope: wrong}, kind).variables[0] == name
        del wrong[name]
    assert parse_subscription({kind.envelope: wrong}, kind, CHANNELS).channel is SOCKET


@pytest.mark.parametrize(("given_duration", "seconds"), [(1, 1), ("60", 60), (None, None)])
def test_duration(given_duration: object, seconds: int | None) -> None:
    """A positive integer or a string of digits, echoed as sent (CH-4, CH-95)."""
    wanted = document(CHAT.envelope, duration=given_duration)
    request = parse_subscription(wanted, CHAT, CHANNELS)
    assert (request.duration, request.members["duration"]) == (seconds, given_duration)


def test_a_call_may_leave_the_channel_to_us() -> None:
    """The newest websockets channel of the clientCorrelator, which the answer names (CH-91)."""
    older, newer, hook = socket_channel(), socket_channel(), webhook_channel(correlator="device")
    channels = {one.id: one for one in (older, newer, hook, _of("another"))}
    references: list[dict[str, Any]] = [
        {},
        {"callbackReference": None},
        {"callbackReference": {}},
        {"callbackReference": {"notifyURL": None, "callbackData": "d"}},
    ]
    for reference in references:
        wanted = {CALL.envelope: {"clientCorrelator": "device", **reference}}
        request = parse_subscription(wanted, CALL, channels)
        assert request.channel is newer
        echoed = request.members["callbackReference"]
        assert echoed == {**(reference.get("callbackReference") or {}), "notifyURL": newer.id}


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"clientCorrelator": "nobody"},
        {"clientCorrelator": 5},
        {"clientCorrelator": "hook"},
        {"clientCorrelator": "device", "callbackReference": 5},
        {"clientCorrelator": "device", "callbackReference": {"notifyURL": ""}},
        {"clientCorrelator": "device", "callbackReference": {"notifyURL": CHANNEL}},
    ],
)
def test_a_call_without_a_channel_to_find(members: dict[str, Any]) -> None:
    """No correlator, none of its sockets, or a wrong notifyURL: the same error (CH-91)."""
    channels = {one.id: one for one in (SOCKET, webhook_channel(correlator="hook"))}
    error = refusal({CALL.envelope: members}, CALL, channels)
    assert (error.message_id, error.variables) == ("SVC0002", ("callbackReference.notifyURL",))


@pytest.mark.parametrize("kind", [kind for kind in CREATED if kind is not CALL])
def test_only_a_call_may(kind: Kind) -> None:
    """Every other service has to name its channel (CH-91)."""
    error = refusal({kind.envelope: {"clientCorrelator": "device"}}, kind)
    assert error.variables == ("callbackReference.notifyURL",)


def test_the_correlator_is_the_channels_by_default() -> None:
    """Unless the channel was made without one (CH-91, CH-1)."""
    channel = _of("")
    channel.client_correlator = channel.id
    for reference, correlator in ((SOCKET, "device"), (channel, None)):
        wanted = {CHAT.envelope: {"callbackReference": {"notifyURL": reference.id}}}
        channels = {reference.id: reference}
        members = parse_subscription(wanted, CHAT, channels).members
        assert members.get("clientCorrelator") == correlator
    wanted = document(CHAT.envelope, clientCorrelator=None)
    members = parse_subscription(wanted, CHAT, CHANNELS).members
    assert members["clientCorrelator"] == "device"


def _of(correlator: str) -> Channel:
    channel = socket_channel()
    channel.client_correlator = correlator
    return channel


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(
    st.sampled_from(CREATED),
    st.dictionaries(
        st.sampled_from(["resourceURL", "presenceListId", "clientCorrelator"]) | st.text(), JSON
    ),
    st.sampled_from(["", "/cpaas", "https://host", 'https://h"ost/"']),
)
def test_what_is_stored_is_answered_anywhere(
    kind: Kind, members: dict[str, Any], root: str
) -> None:
    """The echo comes first and unchanged, then what we add, with any base and prefix (CH-90)."""
    place = place_of(kind)
    id_ = new_id()
    text = render(place, id_, members)
    answer = json.loads(located(text, root))
    assert answer.pop("resourceURL") == f"{root}{place.path}/{id_}"
    added = {"resourceURL"}
    if kind is PRESENCE:
        assert answer.pop("presenceListId") == "L1"
        added.add("presenceListId")
    echoed = {name: value for name, value in members.items() if name not in added}
    assert list(answer.items()) == list(json.loads(json.dumps(echoed)).items())


def test_the_correlator_of_what_is_stored() -> None:
    """By which calls are listed, if there is one (section 10)."""
    place = place_of(CALL)
    assert correlator_of(render(place, "1", {"clientCorrelator": "c", "n": 2**70})) == "c"
    assert correlator_of(render(place, "1", {})) is None
