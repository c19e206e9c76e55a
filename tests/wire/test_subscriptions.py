"""Subscription requests without I/O."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.model.errors import RequestError
from tocsin.model.ids import new_channel_id
from tocsin.wire.request import split_path
from tocsin.wire.subscriptions import CHAT, KINDS, SMS_INBOUND, channel_id_in, parse_subscription

CHANNEL = new_channel_id("ws")


def document(envelope: str, **members: Any) -> dict[str, Any]:
    return {envelope: {"callbackReference": {"notifyURL": CHANNEL}, **members}}


@given(st.sampled_from(KINDS), st.text(min_size=1), st.text(min_size=1))
def test_paths_lead_back(kind: Any, user: str, sender: str) -> None:
    """Whatever user and sender are called, the path we write splits into the same (CH-3)."""
    path = split_path(kind.collection("/cpaas", user, sender) + "/id")
    assert path is not None
    assert len(path) == kind.path.count("/") + 2
    assert path[3] == user
    assert path[-1] == "id"
    assert "sender" not in kind.path or path[5] == sender


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


@pytest.mark.parametrize(
    ("given_address", "filter_"), [("tel:+1613", "+1613"), ("+1613", "+1613"), (None, None)]
)
def test_destination(given_address: str | None, filter_: str | None) -> None:
    """`tel:` does not count in the filter, and is echoed as sent (CH-94)."""
    wanted = document("subscription", destinationAddress=given_address)
    request = parse_subscription(wanted, SMS_INBOUND)
    assert request.destination == filter_
    assert request.members["destinationAddress"] == given_address


def test_chat_has_no_filter() -> None:
    """On chat a destinationAddress is an unknown member: echoed, not judged (CH-4)."""
    wanted = document(CHAT.envelope, destinationAddress=7)
    request = parse_subscription(wanted, CHAT)
    assert (request.channel_id, request.destination) == (CHANNEL, None)
    assert request.members["destinationAddress"] == 7
