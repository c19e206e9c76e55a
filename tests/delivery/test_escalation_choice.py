"""tocsin.delivery.escalation: which legs wait, for which, how long (CH-70, CH-98)."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.deliveries import (
    T0,
    device_channel,
    notification,
    socket_channel,
    subscription,
    webhook_channel,
)

from tocsin.delivery.escalation import device_of, held_back
from tocsin.delivery.router import fan_out
from tocsin.model.channel import Channel, ChannelType
from tocsin.model.delivery import Delivery
from tocsin.model.subscription import Subscription
from tocsin.store.records import Held

AFTER = 10_000
PHONE = "phone"


def chosen(
    subscriptions: list[Subscription],
    *connected: Channel,
    expires_in: int = 1_000_000,
    policies: dict[str, str] | None = None,
) -> list[Held]:
    """What is held back of one sms notification."""
    one = notification(expires_in=expires_in)
    for key, subscribed in enumerate(subscriptions, 1):
        subscribed.channel.key = subscribed.channel.key or key
    channels = fan_out(one, subscriptions, T0)
    return held_back(
        one,
        [Delivery(0, one, channel) for channel in channels],
        subscriptions,
        T0,
        after=AFTER,
        is_connected=lambda channel: channel in connected,
        policies=policies or {},
    )


def channels_of(held: list[Held]) -> list[tuple[list[Channel], list[Channel]]]:
    """Who waits for whom, without how long."""
    return [
        ([leg.channel for leg in one.first], [leg.channel for leg in one.later]) for one in held
    ]


def with_policy(channel: Channel, policy: str | None) -> Subscription:
    """A subscription to sms."""
    return attrs.evolve(subscription(channel), policy=policy)


@pytest.mark.parametrize("kind", [ChannelType.WEBSOCKETS, ChannelType.LONG_POLLING])
def test_a_push_waits_for_the_socket_of_its_device(kind: ChannelType) -> None:
    """For a poll as well, where it is connected."""
    tab, push = socket_channel(correlator=PHONE, kind=kind), device_channel()
    subscriptions = [subscription(tab), subscription(push)]
    [one] = chosen(subscriptions, tab)
    assert channels_of([one]) == [([tab], [push])]
    assert one.not_before == T0 + AFTER
    assert chosen(subscriptions) == []


def test_another_device_does_not_count() -> None:
    """Another correlator, or another user's channel of the same: an open tab silences no phone
    but its own."""
    tab, push = socket_channel(correlator="browser"), device_channel()
    guest = socket_channel("v", correlator=PHONE)
    assert chosen([subscription(tab), subscription(guest), subscription(push)], tab, guest) == []


def test_a_socket_that_does_not_get_it_does_not_count() -> None:
    """One that is subscribed to other services, or whose filter stops it."""
    tab, deaf, push = (
        socket_channel(correlator=PHONE),
        socket_channel(correlator=PHONE),
        device_channel(),
    )
    subscriptions = [
        subscription(tab, "chat"),
        subscription(deaf, sender="+9"),
        subscription(push),
    ]
    assert chosen(subscriptions, tab, deaf) == []


def test_all_sockets_of_the_device_count() -> None:
    """One that is connected makes it wait; the receipt of one that comes later ends it, too."""
    tabs, push = [socket_channel(correlator=PHONE) for _ in range(3)], device_channel()
    subscriptions = [subscription(channel) for channel in [*tabs, push]]
    assert channels_of(chosen(subscriptions, tabs[1])) == [(tabs, [push])]


def test_each_device_by_itself() -> None:
    """Two apps of one device wait together; another device's push waits for its own socket."""
    apps = [device_channel(app=app, token=app) for app in ("com.example.a", "com.example.b")]
    tablet = device_channel(token="t", correlator="tablet")
    watch = device_channel(token="w", correlator="watch")
    tab, screen = socket_channel(correlator=PHONE), socket_channel(correlator="tablet")
    subscriptions = [subscription(channel) for channel in [tab, *apps, screen, tablet, watch]]
    held = chosen(subscriptions, tab, screen)
    assert channels_of(held) == [([tab], apps), ([screen], [tablet])]


@pytest.mark.parametrize(
    ("policies", "waits"),
    [
        ([None], True),
        (["escalate"], True),
        (["all"], False),
        ([None, "all"], False),
        (["all", "escalate"], False),
        (["escalate", None], True),
    ],
)
def test_policies_of_a_push(policies: list[str | None], waits: bool) -> None:
    """`escalate` where nothing is said; of several subscriptions that match, `all` wins (CH-98)."""
    tab, push = socket_channel(correlator=PHONE), device_channel()
    subscriptions = [subscription(tab), *(with_policy(push, policy) for policy in policies)]
    assert bool(chosen(subscriptions, tab)) is waits


@pytest.mark.parametrize(("policy", "waits"), [(None, False), ("all", False), ("escalate", True)])
def test_policies_of_a_webhook(policy: str | None, waits: bool) -> None:
    """`all` where nothing is said (CH-98)."""
    tab, hook = socket_channel(correlator=PHONE), webhook_channel(correlator=PHONE)
    assert bool(chosen([subscription(tab), with_policy(hook, policy)], tab)) is waits


def test_only_what_matches_has_a_say() -> None:
    """A policy of a subscription that is over, to another service, of another channel, or that
    does not let this one through is nobody's."""
    tab, push, other = socket_channel(correlator=PHONE), device_channel(), device_channel("v")
    subscriptions = [
        subscription(tab),
        subscription(push),
        attrs.evolve(with_policy(push, "all"), expires_at=T0),
        attrs.evolve(with_policy(push, "all"), service="chat"),
        attrs.evolve(with_policy(push, "all"), sender="+9"),
        with_policy(other, "all"),
        with_policy(tab, "all"),
    ]
    assert channels_of(chosen(subscriptions, tab)) == [([tab], [push])]


@given(expires_in=st.integers(-5, 100_000))
def test_never_beyond_the_deadline(expires_in: int) -> None:
    """As long as was said, but at most half of what is left: the push has the other half."""
    tab, push = socket_channel(correlator=PHONE), device_channel()
    [one] = chosen([subscription(tab), subscription(push)], tab, expires_in=expires_in)
    assert T0 <= one.not_before <= T0 + AFTER
    assert one.not_before == T0 + AFTER or 2 * (one.not_before - T0) <= max(0, expires_in)
    assert expires_in < 2 or one.not_before < T0 + expires_in


@given(st.data())
def test_nobody_waits_for_nothing(data: st.DataObject) -> None:
    """Whoever waits is a push or webhook of a device that is connected and waits for nobody but
    this device; each leg stands once."""
    correlators = st.sampled_from(["a", "b"])
    made = data.draw(
        st.lists(
            st.one_of(
                st.builds(lambda c: socket_channel(correlator=c), correlators),
                st.builds(lambda c: device_channel(correlator=c), correlators),
                st.builds(lambda c: webhook_channel(correlator=c), correlators),
            ),
            max_size=8,
        )
    )
    policies = st.sampled_from([None, "all", "escalate"])
    subscriptions = [with_policy(channel, data.draw(policies)) for channel in made]
    connected = [one for one in made if one.lane is None and data.draw(st.booleans())]
    held = channels_of(chosen(subscriptions, *connected))
    waiting = [channel for _, later in held for channel in later]
    assert len(waiting) == len(set(waiting))
    for first, later in held:
        assert any(channel in connected for channel in first)
        assert later
        assert len({device_of(channel) for channel in [*first, *later]}) == 1
        assert all(channel.lane is None for channel in first)
        assert all(channel.lane is not None for channel in later)
    devices = {device_of(channel) for channel in connected}
    said = {one.channel: one.policy for one in subscriptions}
    wanted = {
        channel
        for channel in made
        if channel.lane is not None
        and device_of(channel) in devices
        and (said[channel] or ("all" if channel.webhook else "escalate")) == "escalate"
    }
    assert set(waiting) == wanted


@pytest.mark.parametrize(
    ("policies", "own", "waiting"),
    [
        ({}, None, ["push"]),
        ({"sms": "all"}, None, []),
        ({"sms": "escalate"}, None, ["push", "hook"]),
        ({"call": "all"}, None, ["push"]),
        ({"sms": "all"}, "escalate", ["push", "hook"]),
        ({"sms": "escalate"}, "all", []),
    ],
)
def test_the_operators_policy(
    policies: dict[str, str], own: str | None, waiting: list[str]
) -> None:
    """By service, where a subscription does not say (delivery.md, escalation)."""
    tab, push = socket_channel(correlator=PHONE), device_channel()
    hook = webhook_channel(correlator=PHONE)
    held = chosen(
        [subscription(tab), with_policy(push, own), with_policy(hook, own)], tab, policies=policies
    )
    names = {id(push): "push", id(hook): "hook"}
    assert [names[id(leg.channel)] for one in held for leg in one.later] == waiting
