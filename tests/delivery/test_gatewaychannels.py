"""Channels that are made with the first push and stored along with it (push.md, PU-23)."""

import pytest
from tests.fakes.deliveries import T0
from tests.fakes.gatewayapps import APP, OTHER_TOKEN, TOKEN

from tocsin.delivery.account import Account
from tocsin.delivery.gatewaychannels import USE_EVERY, GatewayChannels
from tocsin.delivery.settings import DeliveryLimits
from tocsin.model.channel import Channel, ChannelType, Device
from tocsin.model.errors import StoreError
from tocsin.model.gatewayuser import gateway_user
from tocsin.ops.metrics import Metrics
from tocsin.store.records import Acceptance, AccountRecord

DEVICE = Device("apns", APP, TOKEN)
REFUSED = StoreError("the disk is on fire")


class Bench:
    """Channels over an account in memory; the store is the test."""

    def __init__(self) -> None:
        self.now = T0
        self.metrics = Metrics()
        self.channels = GatewayChannels(
            limits=DeliveryLimits(), metrics=self.metrics, clock=lambda: self.now
        )
        self.account = Account(AccountRecord(gateway_user(APP, TOKEN), [], []))

    def open(self) -> tuple[Channel, Acceptance]:
        """One more request that pushes to the channel."""
        acceptance = Acceptance()
        return self.channels.open(self.account, DEVICE, acceptance), acceptance

    def settle(self, acceptance: Acceptance, error: StoreError | None = None) -> None:
        """The store has taken it, or has not."""
        acceptance.opened = set() if error else {one.key for one in acceptance.opening}
        self.channels.settle(acceptance, [self.account], error)

    def counted(self) -> float | None:
        """The gauge of such channels."""
        return self.metrics.registry.get_sample_value(
            "tocsin_channels", {"type": ChannelType.OMAPUSH.value}
        )


def test_every_acceptance_carries_it_until_one_is_stored() -> None:
    """Once each, and then no more (PU-23)."""
    bench = Bench()
    (channel, first), (same, second) = bench.open(), bench.open()
    assert same is channel
    assert bench.channels.open(bench.account, DEVICE, first) is channel
    assert first.opening == second.opening == [channel]
    bench.settle(first)
    assert bench.open()[1].opening == []
    assert bench.counted() == 1
    assert len(bench.channels) == 0
    second.opened = ()
    bench.channels.settle(second, [bench.account], None)
    assert bench.counted() == 1


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_it_stays_while_another_may_store_it(order: tuple[int, int]) -> None:
    """A refusal takes it back only when nobody else carries it (PU-23)."""
    bench = Bench()
    opened = [bench.open(), bench.open()]
    channel = opened[0][0]
    bench.settle(opened[order[0]][1], REFUSED)
    assert bench.account.channels == {channel.id: channel}
    bench.settle(opened[order[1]][1])
    assert bench.account.channels == {channel.id: channel}
    assert bench.counted() == 1


def test_it_goes_with_the_last_refusal() -> None:
    """And settling a refusal twice changes nothing (PU-23)."""
    bench = Bench()
    (_, first), (_, second) = bench.open(), bench.open()
    bench.settle(first, REFUSED)
    bench.settle(first, REFUSED)
    assert len(bench.channels) == 1
    bench.settle(second, REFUSED)
    bench.settle(second, REFUSED)
    assert (bench.account.channels, len(bench.channels), bench.counted()) == ({}, 0, 0)


def test_a_refusal_that_comes_after_a_success() -> None:
    """It is stored: nothing is taken back (PU-23)."""
    bench = Bench()
    (channel, first), (_, second) = bench.open(), bench.open()
    bench.settle(first)
    bench.settle(second, REFUSED)
    assert bench.account.channels == {channel.id: channel}


def test_one_that_was_removed_meanwhile_is_not_put_back() -> None:
    """The next push makes another (PU-48)."""
    bench = Bench()
    channel, first = bench.open()
    del bench.account.channels[channel.id]
    another, second = bench.open()
    assert another is not channel
    bench.settle(first, REFUSED)
    bench.settle(second)
    assert bench.account.channels == {another.id: another}
    assert len(bench.channels) == 0


def test_use_is_noted_once_a_day() -> None:
    """With the first push of a day, and with the next where the store has refused that, however
    often it is told (PU-23)."""
    bench = Bench()
    channel, first = bench.open()
    bench.settle(first)
    bench.now += USE_EVERY - 1
    assert bench.open()[1].opening == []
    bench.now += 1
    _, renewing = bench.open()
    assert (renewing.opening, channel.used_at) == ([channel], bench.now)
    assert bench.open()[1].opening == []
    bench.settle(renewing, REFUSED)
    assert bench.account.channels == {channel.id: channel}
    bench.now += 1
    _, again = bench.open()
    assert (again.opening, channel.used_at) == ([channel], bench.now)
    bench.settle(renewing, REFUSED)
    bench.settle(again)
    bench.settle(again, REFUSED)
    assert bench.open()[1].opening == []
    assert channel.used_at == bench.now


def test_a_new_one_is_known_to_be_empty() -> None:
    """So that nobody counts what a thousand new channels hold; another token is another."""
    bench = Bench()
    channel, acceptance = bench.open()
    limits = DeliveryLimits()
    assert (channel.room, channel.room_bytes) == (limits.buffer_count, limits.buffer_bytes)
    other = bench.channels.open(bench.account, Device("apns", APP, OTHER_TOKEN), acceptance)
    assert acceptance.opening == [channel, other]
