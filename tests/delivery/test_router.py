"""tocsin.delivery.router: which channels a notification goes to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.deliveries import T0, notification, socket_channel, subscription, webhook_channel

from tocsin.delivery.router import address, fan_out
from tocsin.model.channel import Channel, ChannelType
from tocsin.model.services import SERVICES, STANDARD, Declared, Services
from tocsin.model.subscription import Subscription

ADDRESSES = [None, "+1", "+2"]


def channel_of(kind: ChannelType, key: int, expires_at: int | None) -> Channel:
    """A stored channel of any type."""
    return Channel(
        Channel.new_id(kind), "u", kind, T0, "device", lifetime=60, expires_at=expires_at, key=key
    )


@st.composite
def subscriptions_of_a_user(draw: st.DrawFn) -> list[Subscription]:
    """Any subscriptions to a few channels of any type, some of them over."""
    kinds = draw(st.lists(st.sampled_from(ChannelType), min_size=1, max_size=5))
    channels = [
        channel_of(kind, key, draw(st.sampled_from([None, T0, T0 + 1])))
        for key, kind in enumerate(kinds, 1)
    ]
    return [
        subscription(
            draw(st.sampled_from(channels)),
            draw(st.sampled_from(SERVICES)),
            destination=draw(st.sampled_from(ADDRESSES)),
            sender=draw(st.sampled_from([None, "+9"])),
        )
        for _ in range(draw(st.integers(0, 8)))
    ]


@given(
    subscriptions_of_a_user(),
    st.sampled_from(SERVICES),
    st.sampled_from([None, "+1", "tel:+1"]),
    st.sampled_from(["deliveryInfoNotification", "smsEventNotification"]),
)
def test_the_rules_hold_for_any_subscriptions(
    subscriptions: list[Subscription], service: str, destination: str | None, root_key: str
) -> None:
    """The service table, living channels, each once, and none without a subscription that lets
    it through (CH-92 to CH-94)."""
    one = notification(service=service, destination=destination, root_key=root_key)
    chosen = fan_out(one, subscriptions, T0)
    assert len({channel.id for channel in chosen}) == len(chosen)
    matching = {
        subscription.channel.id
        for subscription in subscriptions
        if subscription.service == service
        and (subscription.sender is None or root_key == "deliveryInfoNotification")
        and (None in (subscription.destination, destination) or subscription.destination == "+1")
        and STANDARD.allows(service, subscription.channel)
        and not subscription.channel.is_over(T0)
    }
    assert {channel.id for channel in chosen} == matching


@pytest.mark.parametrize("kind", ChannelType)
@pytest.mark.parametrize("service", SERVICES)
def test_every_cell_of_the_service_table(service: str, kind: ChannelType) -> None:
    """CH-93, cell by cell, for a subscription that should not even be there."""
    forbidden = {("presence", ChannelType.OMAPUSH)} | {
        ("account", other) for other in ChannelType if other is not ChannelType.WEBHOOKS
    }
    channel = channel_of(kind, 1, None)
    found = fan_out(notification(service=service), [subscription(channel, service)], T0)
    assert found == ([] if (service, kind) in forbidden else [channel])


INVITATION = "wrtcsSessionInvitationNotification"


def test_a_declared_service_is_routed_like_any_other() -> None:
    """By its own channel types, once it is declared (CH-97)."""
    socket, hook = socket_channel(), webhook_channel()
    socket.key, hook.key = 1, 2
    all_ = [subscription(socket, "tickets"), subscription(hook, "tickets")]
    one = notification(service="tickets", root_key="ticketNotification")
    services = Services({"tickets": Declared(frozenset({ChannelType.WEBHOOKS}))})
    assert fan_out(one, all_, T0, services=services) == [hook]
    assert fan_out(one, all_, T0) == []


def test_a_subscription_ends_by_itself() -> None:
    """A webhook's after its duration, though its channel lives on (CH-95)."""
    channel = webhook_channel()
    subscribed = subscription(channel)
    subscribed.expires_at = T0 + 1
    assert fan_out(notification(), [subscribed], T0) == [channel]
    assert fan_out(notification(), [subscribed], T0 + 1) == []


def test_many_subscriptions_make_one_delivery() -> None:
    """However many match, a channel gets a notification once (CH-92)."""
    channel, other = webhook_channel(), socket_channel()
    channel.key, other.key = 1, 2
    subscriptions = [
        subscription(channel),
        subscription(channel, destination="+1"),
        subscription(other),
        subscription(channel, sender="+3"),
    ]
    one = notification(root_key="deliveryInfoNotification", destination="+1")
    assert fan_out(one, subscriptions, T0) == [channel, other]


@pytest.mark.parametrize(
    ("subscribed", "sent", "passes"),
    [
        (None, None, True),
        (None, "+1", True),
        ("+1", None, True),
        ("+1", "+1", True),
        ("+1", "tel:+1", True),
        ("+1", "+2", False),
    ],
)
def test_the_number_lets_through_what_is_equal_or_unknown(
    subscribed: str | None, sent: str | None, passes: bool
) -> None:
    """CH-94, the sms filter."""
    channel = socket_channel()
    found = fan_out(
        notification(destination=sent), [subscription(channel, destination=subscribed)], T0
    )
    assert bool(found) is passes


def test_receipts_go_to_both_kinds_of_sms_subscription() -> None:
    """An inbound subscription gets everything, a receipt subscription only receipts (CH-94)."""
    inbound, receipts = socket_channel(), socket_channel()
    inbound.key, receipts.key = 1, 2
    subscriptions = [subscription(inbound), subscription(receipts, sender="+9")]
    message = notification(root_key="inboundSMSMessageNotification")
    receipt = notification(root_key="deliveryInfoNotification")
    assert fan_out(message, subscriptions, T0) == [inbound]
    assert fan_out(receipt, subscriptions, T0) == [inbound, receipts]


@pytest.mark.parametrize(("text", "number"), [("tel:+1", "+1"), ("+1", "+1"), ("", "")])
def test_an_address_without_its_scheme(text: str, number: str) -> None:
    """`tel:` is ignored (CH-94)."""
    assert address(text) == number
